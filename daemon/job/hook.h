/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_HOOK_H
#define DAEMON_JOB_HOOK_H

#include "proto/names.h"

/*
 * The failure hook: for every job that ends with one of the outcomes of
 * [hooks] outcomes, and is no part and no hook itself, the program [hooks]
 * on_end is run as a worker of the daemon's own user, with the job object on
 * its standard input.
 *
 * It reads what has happened from the store, from a place that it keeps in
 * the state directory and moves on only when the hooks' jobs are stored.  So
 * no end is missed when the daemon dies in between; and a hook's job has the
 * key "hook:ID", so that none is made twice.
 */
void hook_start(void); /* when the jobs are loaded, and after every reload */
/* A job has ended with @outcome, and that is committed. */
void hook_ended(enum job_outcome outcome);
void hook_fini(void);

#endif
