/* The layout is in the header; this file makes the target compile it as C. */
#include "cscoreboard.h"
