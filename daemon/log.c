/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/base/utf8.h"
#include "daemon/journal.h"
#include "proto/units.h"

enum {
	MESSAGE_MAX_BYTES = 2048,
	LINE_MAX_BYTES =
		2 * MESSAGE_MAX_BYTES, /* escapes make it longer; what does not fit is cut */
	PREFIX_MAX_BYTES = 64,
	/* What waits for a log that does not read. */
	QUEUE_RECORDS = 4096,
	QUEUE_BYTES = 1024 * 1024,
	/* At the end, or before we fall: as long as that nothing gets written. */
	FLUSH_US = 500000,
};

static const char *const level_words[] = {
	[LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",	  [LOG_CRIT] = "crit",
	[LOG_ERR] = "err",     [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

static atomic_int max_level = LOG_INFO;
static atomic_bool is_for_journal; /* stderr is the journal's stream */
static atomic_bool has_journal;	   /* its own socket is to be used */

/* systemd names the device and inode of the stream it gave us; it is ours only if stderr is still
 * that one. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(int level, int is_journal)
{
	is_for_journal = is_journal < 0 ? stderr_is_journal() : is_journal != 0;
	log_set_level(level);
}

void log_set_level(int level)
{
	max_level = level;
}

int log_level_parse(const char *word)
{
	static const int offered[] = { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERR };

	for (size_t i = 0; i < sizeof offered / sizeof offered[0]; i++)
		if (word && !strcmp(word, level_words[offered[i]]))
			return offered[i];
	return -1;
}

const char *log_level_name(int level)
{
	return level_words[level & LOG_PRIMASK];
}

/* Controls of ASCII and of the block U+0080 ... U+009F, which terminals obey too. */
static bool is_control(const char *s, int len)
{
	unsigned char c = (unsigned char)s[0];

	return len == 1 ? c < 0x20 || c == 0x7f
			: len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0;
}

static size_t escape_byte(char *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	const char *named = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;

	if (named) {
		memcpy(out, named, 2);
		return 2;
	}
	memcpy(out, "\\x", 2);
	out[2] = hex[c >> 4];
	out[3] = hex[c & 15];
	return 4;
}

/*
 * @text as it may go to a log or terminal: what is no character, and controls,
 * as "\n", "\x1b".  Cut with "..." where @size (at least 16) ends.  Returns
 * the length; @out is not terminated.
 */
static size_t escape(const char *text, size_t len, char *out, size_t size)
{
	enum { LONGEST = 4, ELLIPSIS = 3 };
	size_t n = 0;

	for (size_t at = 0; at < len;) {
		int step = utf8_char(text + at, len - at);

		if (n + 2 * LONGEST + ELLIPSIS > size) {
			memcpy(out + n, "...", ELLIPSIS);
			return n + ELLIPSIS;
		}
		if (step <= 0) {
			n += escape_byte(out + n, (unsigned char)text[at++]);
			continue;
		}
		if (is_control(text + at, step)) {
			for (int i = 0; i < step; i++)
				n += escape_byte(out + n, (unsigned char)text[at + (size_t)i]);
		} else {
			memcpy(out + n, text + at, (size_t)step);
			n += (size_t)step;
		}
		at += (size_t)step;
	}
	return n;
}

/* ---- writing ---- */

struct record {
	struct record *next;
	struct wall at;
	int level;
	bool has_job;
	struct log_job job;
	size_t len;
	char text[]; /* escaped; not terminated */
};

static size_t add_prefix(char *out, size_t size, int level, struct wall at)
{
	char stamp[TIME_TEXT_BYTES];
	int n;

	if (is_for_journal)
		n = snprintf(out, size, "<%d>", level);
	else {
		time_format(at.ms, stamp);
		n = snprintf(out, size, "%s %s: ", stamp, level_words[level]);
	}
	return (size_t)n;
}

/* One write, so that lines of several threads do not mix.  A log that cannot be written has nowhere
 * to be reported. */
static void write_line(int level, struct wall at, const char *text, size_t len)
{
	char line[PREFIX_MAX_BYTES + LINE_MAX_BYTES];
	size_t n = add_prefix(line, PREFIX_MAX_BYTES, level, at);

	memcpy(line + n, text, len);
	n += len;
	line[n++] = '\n';
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		;
}

static void write_out(int level, struct wall at, const char *text, size_t len,
		      const struct log_job *job)
{
	if (!has_journal || journal_send(level, text, len, job) < 0)
		write_line(level, at, text, len);
}

/* ---- the thread ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t news;	/* for the thread */
	pthread_cond_t written; /* for those who wait */
	struct record *first, **tail;
	size_t n, n_bytes;
	uint64_t n_dropped, n_untold;
	bool is_on;	/* what is logged goes to the thread */
	bool is_ending; /* the thread is to end when all is written */
	bool is_writing;
	bool is_stuck; /* nobody reads, and we are about to end: say nothing more */
	pthread_t thread;
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.news = PTHREAD_COND_INITIALIZER,
	.tail = &queue.first,
};

/* The next one to write, or NULL: the end.  Called and left with the lock. */
static struct record *wait_for_record(void)
{
	struct record *r;

	while (!queue.first && !queue.n_untold) {
		pthread_cond_broadcast(&queue.written);
		if (queue.is_ending)
			return NULL;
		pthread_cond_wait(&queue.news, &queue.lock);
	}
	r = queue.first;
	if (!r)
		return NULL;
	queue.first = r->next;
	if (!queue.first)
		queue.tail = &queue.first;
	queue.n--;
	queue.n_bytes -= r->len;
	return r;
}

static void tell_dropped(uint64_t n)
{
	char text[96];
	int len = snprintf(text, sizeof(text),
			   "%" PRIu64 " messages dropped: the log was not read in time", n);

	write_out(LOG_WARNING, now_wall(), text, (size_t)len, NULL);
}

static void *run_thread(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&queue.lock);
	for (;;) {
		struct record *r = wait_for_record();
		uint64_t n_untold = queue.n_untold;

		if (!r && !n_untold)
			break;
		queue.n_untold = 0;
		queue.is_writing = true;
		pthread_mutex_unlock(&queue.lock);
		if (n_untold)
			tell_dropped(n_untold);
		if (r)
			write_out(r->level, r->at, r->text, r->len, r->has_job ? &r->job : NULL);
		free(r);
		pthread_mutex_lock(&queue.lock);
		queue.is_writing = false;
	}
	pthread_mutex_unlock(&queue.lock);
	return NULL;
}

/* What is important finds room where the rest does not. */
static bool has_room(int level, size_t len)
{
	size_t parts = level <= LOG_WARNING ? 8 : 7;

	return queue.n < QUEUE_RECORDS / 8 * parts &&
	       queue.n_bytes + len <= QUEUE_BYTES / 8 * parts;
}

static struct record *record_new(int level, const char *text, size_t len, const struct log_job *job)
{
	/* Without memory for it, it is dropped like one that comes too fast. */
	struct record *r = malloc(sizeof(*r) + len);

	if (!r)
		return NULL;
	*r = (struct record){ .level = level, .at = now_wall(), .len = len, .has_job = job };
	if (job)
		r->job = *job;
	memcpy(r->text, text, len);
	return r;
}

/* False: there is no thread. */
static bool hand_over(int level, const char *text, size_t len, const struct log_job *job)
{
	struct record *r = NULL;
	bool is_on;

	pthread_mutex_lock(&queue.lock);
	is_on = queue.is_on;
	if (is_on && has_room(level, len))
		r = record_new(level, text, len, job);
	if (r) {
		*queue.tail = r;
		queue.tail = &r->next;
		queue.n++;
		queue.n_bytes += len;
		pthread_cond_signal(&queue.news);
	} else if (is_on) {
		queue.n_dropped++;
		queue.n_untold++;
	}
	is_on |= queue.is_stuck;
	pthread_mutex_unlock(&queue.lock);
	return is_on;
}

void log_start(void)
{
	pthread_condattr_t attr;
	sigset_t all, before;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&queue.written, &attr);
	pthread_condattr_destroy(&attr);
	has_journal = is_for_journal && journal_is_there();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&queue.thread, NULL, run_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	queue.is_on = r == 0;
	if (r != 0)
		log_warning("no thread for the log (%s): a log that is not read stalls us",
			    strerror(r));
}

/* With the lock: wait until all is written, as long as something gets written. */
static bool wait_written(void)
{
	size_t n_before;

	do {
		struct mono until = mono_in_us(FLUSH_US);
		struct timespec end = { .tv_sec = until.ns / 1000000000,
					.tv_nsec = until.ns % 1000000000 };

		n_before = queue.n;
		while ((queue.first || queue.is_writing || queue.n_untold) &&
		       pthread_cond_timedwait(&queue.written, &queue.lock, &end) != ETIMEDOUT)
			;
	} while (queue.n && queue.n < n_before);
	return !queue.first && !queue.is_writing;
}

void log_flush(void)
{
	pthread_mutex_lock(&queue.lock);
	if (queue.is_on)
		(void)wait_written();
	pthread_mutex_unlock(&queue.lock);
}

void log_stop(void)
{
	bool was_on, is_written;

	pthread_mutex_lock(&queue.lock);
	was_on = queue.is_on;
	queue.is_on = false;
	queue.is_ending = true;
	pthread_cond_signal(&queue.news);
	is_written = !was_on || wait_written();
	queue.is_stuck = !is_written;
	pthread_mutex_unlock(&queue.lock);
	if (was_on && is_written)
		pthread_join(queue.thread, NULL);
	else if (was_on)
		pthread_detach(queue.thread);
	queue.is_ending = false;
}

void log_stats(struct log_stats *ret)
{
	pthread_mutex_lock(&queue.lock);
	*ret = (struct log_stats){ .n_dropped = queue.n_dropped, .n_queued = queue.n };
	pthread_mutex_unlock(&queue.lock);
}

/* ---- what is said ---- */

static void __attribute__((format(printf, 3, 0)))
log_va(int priority, const struct log_job *job, const char *fmt, va_list ap)
{
	int level = priority & LOG_PRIMASK, saved_errno = errno, len;
	char message[MESSAGE_MAX_BYTES], text[LINE_MAX_BYTES];
	size_t n;

	if (level > max_level)
		return;
	len = vsnprintf(message, sizeof message, fmt, ap);
	if (len < 0)
		len = 0;
	if ((size_t)len >= sizeof message) {
		len = (int)sizeof message - 1;
		memcpy(message + len - 3, "...", 3);
	}
	n = escape(message, (size_t)len, text, sizeof text - 1);
	if (!hand_over(level, text, n, job))
		write_out(level, now_wall(), text, n, job);
	errno = saved_errno;
}

void log_at(int priority, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(priority, NULL, fmt, ap);
	va_end(ap);
}

void log_at_job(int priority, const struct log_job *job, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(priority, job, fmt, ap);
	va_end(ap);
}
