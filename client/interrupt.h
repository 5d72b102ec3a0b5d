/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_INTERRUPT_H
#define CLIENT_INTERRUPT_H

#include <stdbool.h>

/*
 * SIGINT and SIGTERM as something to wait for: "run" cancels its job on the
 * first one and leaves at once (status 130) on the second.
 */

/* From now on the two signals are caught. */
void interrupt_catch(void);
/* A descriptor that becomes readable with a signal, or -1 while none are caught. */
int interrupt_fd(void);
/* Was there one since the last call? */
bool interrupt_take(void);

#endif
