/* mixed.c - a file compiled with another profile than the implementation: creating a
   heap must fail with a message, not corrupt memory. Leaves 0 if it does. */
#include "memmgr.h"
#include <stdio.h>

int main(void)
{
    mm_heap    *heap = mm_heap_create(NULL);
    const char *message = mm_last_message(NULL);
    printf("%s\n", message);
    if (heap != NULL || mm_last_status(NULL) == MM_OK) return 1;
    return strstr(message, "different versions or options") != NULL ? 0 : 1;
}
