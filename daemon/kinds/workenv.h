/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_WORKENV_H
#define DAEMON_KINDS_WORKENV_H

#include "daemon/job/kind.h"

#include <jansson.h>

/*
 * A worker's environment, built from nothing (R3.4): PATH, HOME, USER,
 * LOGNAME, SHELL, LANG, TZ, AWAITD_*, and what the job's document says.
 */

/*
 * Find out who the daemon's user is, once at start-up: the password database may be far
 * away, and blocks.
 */
void workenv_init(void);
/*
 * The environment of attempt @a; @env is the document's object or NULL,
 * @results_path the file with the results that it may read, or NULL.
 * NULL-terminated; gives it, workenv_free().
 */
char **workenv_make(const struct attempt *a, const json_t *env, const char *results_path);
void workenv_free(char **env);
/* The home of the daemon's user, where workers run unless told otherwise.  Borrowed for ever. */
const char *workenv_home(void);

#endif
