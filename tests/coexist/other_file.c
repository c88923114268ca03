/* other_file.c - the library here, the application's stb_ds in application.c. */
#define MEMMGR_IMPLEMENTATION
#include "library.h"

#ifdef __cplusplus
extern "C"
#endif
int application(void);

int main(void)
{
    return library_works() + application();
}
