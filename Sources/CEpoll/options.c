/* getopt_long(3) with php-fpm's grammar. */
#include "cepoll.h"
#include <errno.h>
#include <getopt.h>
#include <string.h>

enum { MOST = 32 };

/* getopt_long takes any unambiguous beginning of a long name; php-fpm only the whole name. */
static bool is_complete(const char *word, const char *name) {
    size_t length = strlen(name);
    return strncmp(word, "--", 2) == 0 && strncmp(word + 2, name, length) == 0 &&
           (word[2 + length] == 0 || word[2 + length] == '=');
}

int cepoll_next_option(int argc, char **argv, const cepoll_option *options, size_t count, const char **value,
                       int *position) {
    struct option longs[MOST + 1] = {0};
    char shorts[2 * MOST + 3] = "+:";
    size_t used = 2;
    if (count > MOST) return CEPOLL_OPTION_BAD;
    for (size_t i = 0; i < count; i++) {
        longs[i].name = options[i].name;
        longs[i].has_arg = options[i].has_argument ? required_argument : optional_argument;
        longs[i].val = options[i].letter;
        if (options[i].letter == '?') continue;
        shorts[used++] = options[i].letter;
        if (options[i].has_argument) shorts[used++] = ':';
    }
    shorts[used] = 0;
    opterr = 0;
    optopt = 0;
    int before = optind, index = -1;
    int letter = getopt_long(argc, argv, shorts, longs, &index);
    *position = optind;
    *value = NULL;
    if (letter == -1) return CEPOLL_OPTIONS_END;
    if (letter == '?' && index < 0) {
        /* "-?" is an option of php-fpm's, and getopt's way to say that there is none. */
        return optopt == '?' ? '?' : CEPOLL_OPTION_BAD;
    }
    if (letter == ':') return CEPOLL_OPTION_BAD;
    if (index >= 0) {
        if (!is_complete(argv[before], options[index].name)) return CEPOLL_OPTION_BAD;
        if (options[index].has_argument) *value = optarg;
        return letter;
    }
    /* Only within the word: an argument that is a word of its own may begin with "=". */
    if (optarg) *value = *optarg == '=' && optarg != argv[optind - 1] ? optarg + 1 : optarg;
    return letter;
}
