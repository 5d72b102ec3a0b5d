/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

/*
 * The daemon's log: text to stderr with a priority prefix ("<6>") when the
 * journal reads it, a time stamp otherwise.  Everything that comes from a job
 * or a peer is escaped here: no newline and no control character gets out.
 * Any thread.  Report once: whoever logs an error does not return it.
 *
 * Between log_start() and log_stop() a thread of its own writes, so that a
 * journal or terminal that does not read stalls nobody else: what it does not
 * take in time waits in bounded memory, and beyond that is dropped and
 * counted, which the log tells when it goes on.  Then the journal gets what a
 * message says of a job as fields, too.
 */
void log_init(int level,
	      int is_journal); /* is_journal: 0, 1, or -1 = find out by $JOURNAL_STREAM */
void log_set_level(int level);
int log_level_parse(
	const char *word); /* "debug", "info", "notice", "warning", "err"; -1 = none of them */
const char *log_level_name(int level);
void log_at(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a message says of a job, for those who search the journal; words are constants. */
struct log_job {
	int64_t id;
	uint32_t attempt;
	const char *kind;
	const char *outcome, *error; /* NULL = none */
};
void log_at_job(int priority, const struct log_job *job, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Let a thread write from now on.  After the supervisor was forked; once. */
void log_start(void);
/*
 * Wait until what was logged is written, or it is clear that nobody reads:
 * log_stop() ends the thread, after log_flush() it goes on.
 */
void log_flush(void);
void log_stop(void);

struct log_stats {
	uint64_t n_dropped;
	size_t n_queued;
};
void log_stats(struct log_stats *ret);

#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_at(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)

#endif
