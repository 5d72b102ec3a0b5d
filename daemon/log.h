/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stddef.h>
#include <syslog.h>

/*
 * The daemon's log: text to stderr with a priority prefix ("<6>") when the
 * journal reads it, a time stamp otherwise.  Everything that comes from a job
 * or a peer is escaped here: no newline and no control character gets out.
 * Any thread.  Report once: whoever logs an error does not return it.
 */
void log_init(int level,
	      int is_journal); /* is_journal: 0, 1, or -1 = find out by $JOURNAL_STREAM */
void log_set_level(int level);
int log_level_parse(
	const char *word); /* "debug", "info", "notice", "warning", "err"; -1 = none of them */
const char *log_level_name(int level);
/*
 * @text as it may go to a log or terminal: what is no character, and controls,
 * as "\n", "\x1b".  Cut with "..." where @size (at least 16) ends.  Returns
 * the length; @out is not terminated.
 */
size_t log_escape(const char *text, size_t len, char *out, size_t size);
void log_at(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)

#endif
