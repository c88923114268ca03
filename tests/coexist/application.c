/* application.c - the application's stb_ds in a file of its own. */
#define STB_DS_IMPLEMENTATION
#include "stb_ds.h"
#include "application.h"

#ifdef __cplusplus
extern "C"
#endif
int application(void);

int application(void)
{
    return application_works();
}
