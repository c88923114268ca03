/* alone.c - the library and no other stb_ds. None of its names is left behind. */
#define MEMMGR_IMPLEMENTATION
#include "library.h"

#if defined(INCLUDE_STB_DS_H) || defined(STB_DS_IMPLEMENTATION) ||                   \
    defined(STBDS_REALLOC) || defined(STBDS_ASSERT) || defined(stbds_arrput) ||      \
    defined(stbds_arrgrowf) || defined(arrput) || defined(STBDS_NO_SHORT_NAMES)
#error "a macro of stb_ds is left behind"
#endif

int main(void)
{
    return library_works();
}
