/* after.c - the library, then the application's stb_ds with its implementation. */
#define MEMMGR_IMPLEMENTATION
#include "library.h"
#define STB_DS_IMPLEMENTATION
#include "stb_ds.h"
#include "application.h"

int main(void)
{
    return library_works() + application_works();
}
