/* 08_intern.c - interning: one object per distinct string

   mm_intern returns the same object for the same content, so that equality is a
   comparison of pointers. The table does not keep its strings alive: when the last
   reference goes, so does the string.

   Prints:
     13 words, 7 of them distinct
     "the" is one object: yes
     bytes of repeats that were not stored: 18
     still known: fox yes, wolf no
     after dropping them: fox no
*/
#define MEMMGR_IMPLEMENTATION
#include "memmgr.h"
#include <stdio.h>

static const char *const text[] = {"the", "fox", "and", "the", "dog", "and", "the",
                                   "cat", "and", "the", "bird", "saw", "the"};
enum { WORDS = sizeof text / sizeof *text };

/* Looks without creating. */
static const char *known(mm_heap *heap, const char *word)
{
    mm_str *s = mm_intern_find(heap, word, strlen(word));
    const char *answer = s != NULL ? "yes" : "no";
    mm_decref(s);
    return answer;
}

int main(void)
{
    mm_heap *heap = mm_heap_create(NULL);
    mm_str *words[WORDS];
    mm_intern_stats before, stats;
    mm_intern_get_stats(heap, &before);
    for (int i = 0; i < WORDS; i++)
        words[i] = mm_intern(heap, text[i], strlen(text[i]));
    mm_intern_get_stats(heap, &stats);

    printf("%d words, %zu of them distinct\n", WORDS, stats.strings - before.strings);
    printf("\"the\" is one object: %s\n", words[0] == words[3] ? "yes" : "no");
    printf("bytes of repeats that were not stored: %d\n",
           (int)(stats.saved_bytes - before.saved_bytes));
    printf("still known: fox %s, wolf %s\n", known(heap, "fox"), known(heap, "wolf"));

    for (int i = 0; i < WORDS; i++) mm_decref(words[i]);
    printf("after dropping them: fox %s\n", known(heap, "fox"));
    return mm_heap_destroy(heap) == 0 ? 0 : 1;
}
