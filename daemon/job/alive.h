/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_ALIVE_H
#define DAEMON_JOB_ALIVE_H

#include "daemon/base/now.h"

/*
 * When a daemon that died was last alive (R2.5): the time of change of a file
 * in the state directory, which needs no sync to outlive the daemon.  It is
 * marked every second, but only while an attempt is so young that its loss
 * would count as a quick one, and once after that.
 */

/* Read what the last daemon has left.  Blocks (start-up). */
void alive_init(const char *state_dir);
void alive_fini(void);
/* The last sign of life of the daemon before us; the start of us if it left none. */
struct wall alive_last(void);
/* An attempt has begun that a crash would cut off. */
void alive_watch(void);

#endif
