/* implementation.c - the implementation and nothing else; as C and as C++. */
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include "memmgr.h" /* a second time, also with the implementation wanted: no effect */
