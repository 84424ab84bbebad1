// All that the C of one crate wants of it is NULL.
#include <stddef.h>
