/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOURNAL_H
#define DAEMON_JOURNAL_H

#include "daemon/log.h"

#include <stdbool.h>
#include <stddef.h>

/* The systemd journal's own socket, which takes fields beside the text (sd_journal_send(3)). */

/* It is there, and we were built with libsystemd. */
bool journal_is_there(void);
/*
 * Send @text, which is escaped already, with what @job has (NULL = nothing).
 * Blocks while the journal does not read.  0 or negative errno.
 */
int journal_send(int level, const char *text, size_t len, const struct log_job *job);

#endif
