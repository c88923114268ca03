/* header_only.c - the application includes stb_ds.h without its implementation, which
   is in another file (application.c), and holds the library's implementation. */
#include "stb_ds.h"
#define MEMMGR_IMPLEMENTATION
#include "library.h"
#include "application.h"

int main(void)
{
    return library_works() + application_works();
}
