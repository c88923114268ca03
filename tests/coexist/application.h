/* application.h - an application's use of its own stb_ds, as its short or long names
   allow. 0 if all is well. Included where stb_ds.h is. */
#ifndef APPLICATION_H
#define APPLICATION_H

typedef struct Pair {
    int key, value;
} Pair;

typedef struct Named {
    char *key;
    int   value;
} Named;

static int application_works(void)
{
    Pair  *map = NULL;
    Named *names = NULL;
    int   *array = NULL, i, wrong = 0;
    char   one[] = "one", two[] = "two";
    for (i = 0; i < 1000; i++) {
        stbds_hmput(map, i, 2 * i);
        stbds_arrput(array, i);
    }
    for (i = 0; i < 1000; i += 2) (void)stbds_hmdel(map, i);
    for (i = 1; i < 1000; i += 2) wrong += stbds_hmget(map, i) != 2 * i;
    wrong += stbds_hmlen(map) != 500 || stbds_arrlen(array) != 1000;
    stbds_sh_new_strdup(names);
    stbds_shput(names, one, 1);
    stbds_shput(names, two, 2);
    wrong += stbds_shget(names, two) != 2 || stbds_shlen(names) != 2;
    stbds_hmfree(map);
    stbds_arrfree(array);
    stbds_shfree(names);
    return wrong;
}

#endif
