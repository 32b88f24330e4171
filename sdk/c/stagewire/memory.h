/* The memory of a call. */
#ifndef STAGEWIRE_MEMORY_H
#define STAGEWIRE_MEMORY_H

#include <stddef.h>

/* Takes over a block that malloc gave, until the call ends. */
void sw_own(void *block);
/* Frees what the call owns. */
void sw_forget(void);
/* Keeps what was owned so far for good. */
void sw_keep_memory(void);

#endif
