/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_HISTORY_H
#define DAEMON_JOB_HISTORY_H

#include "daemon/store/store.h"

/*
 * Forgets jobs that are done: as the settings say ([history] keep, max_jobs,
 * max_bytes) and each job's own "keep", in small steps that let everything
 * else go first; and removes the directories of jobs that were removed, by
 * whomever, also what an earlier run of the daemon has left.  All on the
 * loop's thread; files are removed on a helper's.
 */
void history_start(struct store *store); /* borrows it until history_stop() */
void history_stop(void);		 /* before the store is closed */
/* A job has ended: somewhat later see whether that was one too many. */
void history_note_end(void);
/* Jobs were removed, or the settings have changed: look now. */
void history_look(void);

#endif
