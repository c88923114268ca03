/* memmgr.c - the implementation, compiled once for all programs here. */
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
