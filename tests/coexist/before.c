/* before.c - the application's stb_ds with its implementation, then the library. */
#define STB_DS_IMPLEMENTATION
#include "stb_ds.h"
#define MEMMGR_IMPLEMENTATION
#include "library.h"
#include "application.h"

#if !defined(INCLUDE_STB_DS_H) || !defined(STB_DS_IMPLEMENTATION) || !defined(stbds_hmput)
#error "a macro of the application is gone"
#endif

int main(void)
{
    return library_works() + application_works();
}
