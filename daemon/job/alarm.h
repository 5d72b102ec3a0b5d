/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_ALARM_H
#define DAEMON_JOB_ALARM_H

#include "daemon/base/now.h"

/*
 * Wakes the loop when a job is due: one timerfd on CLOCK_BOOTTIME (goes on
 * during suspend) and one on CLOCK_REALTIME that also fires when somebody
 * sets the clock.
 */
int alarm_open(void (*fn)(void)); /* 0 or negative errno */
void alarm_close(void);
/*
 * Fire at the earlier of the two; INT64_MAX = not.  Costs a system call only when something
 * changed.
 */
void alarm_set(struct boot boot, struct wall wall);

#endif
