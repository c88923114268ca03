/* shared.h - a type used by two files of one program. */
#ifndef SHARED_H
#define SHARED_H

#include "memmgr.h"

typedef struct Shared {
    struct Shared *next;
    int            value;
} Shared;
MM_TYPE_DECLARE(Shared);

#ifdef __cplusplus
extern "C" {
#endif
Shared *shared_make(mm_heap *heap, int value);
#ifdef __cplusplus
}
#endif

#endif
