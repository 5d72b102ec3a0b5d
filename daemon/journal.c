/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/journal.h"

#ifdef HAVE_LIBSYSTEMD

/* Where in our sources a message was made helps nobody who reads it. */
#define SD_JOURNAL_SUPPRESS_LOCATION

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

enum {
	FIELDS_MAX = 8,
	FIELD_BYTES = 64,
	MESSAGE_BYTES = 8192,
};

struct fields {
	struct iovec parts[FIELDS_MAX];
	char text[FIELDS_MAX][FIELD_BYTES];
	int n;
};

bool journal_is_there(void)
{
	return access("/run/systemd/journal/socket", W_OK) == 0;
}

static void add_text(struct fields *f, const char *name, const char *value)
{
	int len;

	if (!value)
		return;
	len = snprintf(f->text[f->n], FIELD_BYTES, "%s=%s", name, value);
	f->parts[f->n].iov_base = f->text[f->n];
	f->parts[f->n].iov_len = len < FIELD_BYTES ? (size_t)len : FIELD_BYTES - 1;
	f->n++;
}

static void add_number(struct fields *f, const char *name, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	add_text(f, name, text);
}

int journal_send(int level, const char *text, size_t len, const struct log_job *job)
{
	static const char name[] = "MESSAGE=";
	char message[MESSAGE_BYTES];
	struct fields f = { .n = 0 };

	if (len > sizeof(message) - sizeof(name))
		len = sizeof(message) - sizeof(name);
	memcpy(message, name, sizeof(name) - 1);
	memcpy(message + sizeof(name) - 1, text, len);
	f.parts[f.n].iov_base = message;
	f.parts[f.n++].iov_len = sizeof(name) - 1 + len;
	add_number(&f, "PRIORITY", level);
	add_text(&f, "SYSLOG_IDENTIFIER", "awaitd");
	if (job) {
		add_number(&f, "AWAITD_JOB", job->id);
		add_text(&f, "AWAITD_KIND", job->kind);
		add_number(&f, "AWAITD_ATTEMPT", job->attempt);
		add_text(&f, "AWAITD_OUTCOME", job->outcome);
		add_text(&f, "AWAITD_ERROR", job->error);
	}
	return sd_journal_sendv(f.parts, f.n);
}

#else

#include <errno.h>

bool journal_is_there(void)
{
	return false;
}

int journal_send(int level, const char *text, size_t len, const struct log_job *job)
{
	(void)level;
	(void)text;
	(void)len;
	(void)job;
	return -ENOSYS;
}

#endif
