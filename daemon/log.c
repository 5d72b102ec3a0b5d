/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/log.h"

#include <errno.h>
#include <inttypes.h>
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
#include "proto/units.h"

enum {
	MESSAGE_MAX_BYTES = 2048,
	LINE_MAX_BYTES =
		2 * MESSAGE_MAX_BYTES, /* escapes make it longer; what does not fit is cut */
};

static const char *const level_words[] = {
	[LOG_EMERG] = "emerg", [LOG_ALERT] = "alert",	  [LOG_CRIT] = "crit",
	[LOG_ERR] = "err",     [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};

static atomic_int max_level = LOG_INFO;
static atomic_bool is_for_journal;

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

size_t log_escape(const char *text, size_t len, char *out, size_t size)
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

static size_t add_prefix(char *out, size_t size, int level)
{
	char stamp[TIME_TEXT_BYTES];
	int n;

	if (is_for_journal)
		n = snprintf(out, size, "<%d>", level);
	else {
		time_format(now_wall().ms, stamp);
		n = snprintf(out, size, "%s %s: ", stamp, level_words[level]);
	}
	return (size_t)n;
}

void log_at(int priority, const char *fmt, ...)
{
	int level = priority & LOG_PRIMASK, saved_errno = errno, len;
	char message[MESSAGE_MAX_BYTES], line[LINE_MAX_BYTES];
	size_t n;
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	len = vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	if (len < 0)
		len = 0;
	if ((size_t)len >= sizeof message) {
		len = (int)sizeof message - 1;
		memcpy(message + len - 3, "...", 3);
	}
	n = add_prefix(line, sizeof line, level);
	n += log_escape(message, (size_t)len, line + n, sizeof line - n - 1);
	line[n++] = '\n';
	/* One write, so that lines of several threads do not mix.  A log that cannot be written has
	 * nowhere to be reported. */
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}
