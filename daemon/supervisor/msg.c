/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/msg.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "proto/xalloc.h"

static const char *const stage_names[N_SUP_STAGES] = {
	[STAGE_STDIN] = "stdin",     [STAGE_PIPE] = "pipe",   [STAGE_FORK] = "fork",
	[STAGE_SESSION] = "session", [STAGE_STDIO] = "stdio", [STAGE_LIMITS] = "limits",
	[STAGE_NICE] = "nice",	     [STAGE_CWD] = "cwd",     [STAGE_EXEC] = "exec",
};

/* A place in a payload; once something did not fit, everything after fails too. */
struct reader {
	const unsigned char *p, *end;
	bool is_bad;
};

void msgbuf_fini(struct msgbuf *b)
{
	free(b->data);
	*b = (struct msgbuf){ 0 };
}

char *msgbuf_reserve(struct msgbuf *b, size_t n)
{
	if (b->at > 0 && b->size - b->len < n) {
		memmove(b->data, b->data + b->at, b->len - b->at);
		b->len -= b->at;
		b->at = 0;
	}
	if (b->size - b->len < n) {
		size_t size = b->size ? b->size : 512;

		while (size - b->len < n)
			size *= 2;
		b->data = xrealloc(b->data, size);
		b->size = size;
	}
	return b->data + b->len;
}

void msgbuf_add(struct msgbuf *b, const void *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(msgbuf_reserve(b, len), data, len);
	b->len += len;
}

void msgbuf_consume(struct msgbuf *b, size_t n)
{
	assert(n <= msgbuf_pending(b));
	b->at += n;
	if (b->at == b->len)
		b->at = b->len = 0;
}

static void put(struct msgbuf *b, uint64_t value, unsigned n_bytes)
{
	unsigned char le[8];

	for (unsigned i = 0; i < n_bytes; i++)
		le[i] = (unsigned char)(value >> (8 * i));
	msgbuf_add(b, le, n_bytes);
}

static void put_u32(struct msgbuf *b, uint32_t value)
{
	put(b, value, 4);
}

static void put_i64(struct msgbuf *b, int64_t value)
{
	put(b, (uint64_t)value, 8);
}

static void put_bytes(struct msgbuf *b, const char *s, size_t len)
{
	put_u32(b, (uint32_t)len);
	msgbuf_add(b, s, len);
	put(b, 0, 1);
}

static void put_strings(struct msgbuf *b, const char **strings)
{
	uint32_t n = 0;

	while (strings[n])
		n++;
	put_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		put_bytes(b, strings[i], strlen(strings[i]));
}

static uint64_t get(struct reader *r, unsigned n_bytes)
{
	uint64_t value = 0;

	if (r->is_bad || (size_t)(r->end - r->p) < n_bytes) {
		r->is_bad = true;
		return 0;
	}
	for (unsigned i = 0; i < n_bytes; i++)
		value |= (uint64_t)r->p[i] << (8 * i);
	r->p += n_bytes;
	return value;
}

static uint32_t get_u32(struct reader *r)
{
	return (uint32_t)get(r, 4);
}

static int32_t get_i32(struct reader *r)
{
	return (int32_t)(uint32_t)get(r, 4);
}

static int64_t get_i64(struct reader *r)
{
	return (int64_t)get(r, 8);
}

static const char *get_bytes(struct reader *r, size_t *ret_len)
{
	uint32_t len = get_u32(r);
	const char *s = (const char *)r->p;

	if (r->is_bad || (size_t)(r->end - r->p) < (size_t)len + 1 || s[len] != '\0') {
		r->is_bad = true;
		*ret_len = 0;
		return "";
	}
	r->p += (size_t)len + 1;
	*ret_len = len;
	return s;
}

static const char *get_string(struct reader *r)
{
	size_t len;
	const char *s = get_bytes(r, &len);

	if (memchr(s, '\0', len))
		r->is_bad = true;
	return s;
}

static const char **get_strings(struct reader *r)
{
	uint32_t n = get_u32(r);
	const char **strings;

	/* Each takes five bytes at least: a count alone cannot make us allocate much. */
	if (r->is_bad || n > SUP_STRINGS_MAX || n > (size_t)(r->end - r->p) / 5) {
		r->is_bad = true;
		n = 0;
	}
	strings = xcalloc((size_t)n + 1, sizeof(*strings));
	for (uint32_t i = 0; i < n; i++)
		strings[i] = get_string(r);
	return strings;
}

static void put_start(struct msgbuf *b, const struct msg_start *s)
{
	put_u32(b, s->umask);
	put_u32(b, (s->no_new_privs ? 1u : 0) | (s->stdin_text ? 2u : 0) | (s->has_nice ? 4u : 0) |
			   (s->needs_files ? 8u : 0));
	put_u32(b, (uint32_t)s->nice);
	put_i64(b, s->log_limit_bytes);
	put_i64(b, s->output_wait_us);
	put_i64(b, s->cpu_s);
	put_i64(b, s->memory_bytes);
	put_u32(b, s->n_files);
	put_strings(b, s->argv);
	put_strings(b, s->env);
	put_bytes(b, s->cwd, strlen(s->cwd));
	put_bytes(b, s->log_path, strlen(s->log_path));
	put_bytes(b, s->stdin_text, s->stdin_text ? s->stdin_len : 0);
}

static void get_start(struct reader *r, struct msg_start *s)
{
	uint32_t flags;

	s->umask = get_u32(r);
	flags = get_u32(r);
	s->no_new_privs = flags & 1;
	s->has_nice = flags & 4;
	s->needs_files = flags & 8;
	s->nice = (int32_t)get_u32(r);
	s->log_limit_bytes = get_i64(r);
	s->output_wait_us = get_i64(r);
	s->cpu_s = get_i64(r);
	s->memory_bytes = get_i64(r);
	s->n_files = get_u32(r);
	s->argv = get_strings(r);
	s->env = get_strings(r);
	s->cwd = get_string(r);
	s->log_path = get_string(r);
	s->stdin_text = get_bytes(r, &s->stdin_len);
	if (!(flags & 2))
		s->stdin_text = NULL;
	if (flags > 15 || s->nice < -20 || s->nice > 19 || s->umask > 0777 ||
	    s->log_limit_bytes < 0 || s->output_wait_us < 0 || s->cpu_s < 0 ||
	    s->memory_bytes < 0 || !s->n_files || !s->argv[0])
		r->is_bad = true;
}

static void put_exited(struct msgbuf *b, const struct msg_exited *e)
{
	put_u32(b, e->flags);
	put_u32(b, (uint32_t)e->exit_status);
	put_u32(b, (uint32_t)e->term_signal);
	put_u32(b, e->n_leftovers);
	put_i64(b, e->user_us);
	put_i64(b, e->system_us);
	put_i64(b, e->max_rss_bytes);
	put_i64(b, e->output_bytes);
	put_i64(b, e->dropped_bytes);
}

static void get_exited(struct reader *r, struct msg_exited *e)
{
	e->flags = get_u32(r);
	e->exit_status = get_i32(r);
	e->term_signal = get_i32(r);
	e->n_leftovers = get_u32(r);
	e->user_us = get_i64(r);
	e->system_us = get_i64(r);
	e->max_rss_bytes = get_i64(r);
	e->output_bytes = get_i64(r);
	e->dropped_bytes = get_i64(r);
	if (e->exit_status < -1 || e->exit_status > 255 || e->term_signal < 0 ||
	    e->term_signal > 127 || e->output_bytes < 0 || e->dropped_bytes < 0)
		r->is_bad = true;
}

static void get_started(struct reader *r, struct msg_started *s)
{
	const char *boot_id;

	s->pid = get_i32(r);
	s->start_ticks = get(r, 8);
	boot_id = get_string(r);
	if (s->pid <= 0 || strlen(boot_id) >= sizeof(s->boot_id)) {
		r->is_bad = true;
		return;
	}
	memcpy(s->boot_id, boot_id, strlen(boot_id) + 1);
}

static void put_payload(struct msgbuf *b, const struct msg *m)
{
	switch (m->type) {
	case SUP_HELLO:
		put_u32(b, m->hello.version);
		put_u32(b, (uint32_t)m->hello.pid);
		break;
	case SUP_START:
		put_start(b, &m->start);
		break;
	case SUP_KILL:
		put_i64(b, m->kill_grace_us);
		break;
	case SUP_STARTED:
		put_u32(b, (uint32_t)m->started.pid);
		put(b, m->started.start_ticks, 8);
		put_bytes(b, m->started.boot_id, strlen(m->started.boot_id));
		break;
	case SUP_FAILED:
		put_u32(b, m->failed.stage);
		put_u32(b, (uint32_t)m->failed.error);
		break;
	case SUP_GREW:
		put_i64(b, m->grew_bytes);
		break;
	case SUP_STUCK:
		put_u32(b, (uint32_t)m->stuck_pid);
		break;
	case SUP_EXITED:
		put_exited(b, &m->exited);
		break;
	case SUP_ACK:
	case SUP_NONE:
	case N_SUP_TYPES:
		break;
	}
}

static void get_payload(struct reader *r, struct msg *m)
{
	switch (m->type) {
	case SUP_HELLO:
		m->hello.version = get_u32(r);
		m->hello.pid = get_i32(r);
		break;
	case SUP_START:
		get_start(r, &m->start);
		break;
	case SUP_KILL:
		m->kill_grace_us = get_i64(r);
		break;
	case SUP_STARTED:
		get_started(r, &m->started);
		break;
	case SUP_FAILED:
		m->failed.stage = get_u32(r);
		m->failed.error = get_i32(r);
		break;
	case SUP_GREW:
		m->grew_bytes = get_i64(r);
		break;
	case SUP_STUCK:
		m->stuck_pid = get_i32(r);
		break;
	case SUP_EXITED:
		get_exited(r, &m->exited);
		break;
	case SUP_ACK:
		break;
	case SUP_NONE:
	case N_SUP_TYPES:
		r->is_bad = true;
		break;
	}
}

int msg_encode(struct msgbuf *b, const struct msg *m)
{
	size_t start = msgbuf_pending(b), n_bytes;
	unsigned char *header;

	put_u32(b, 0);
	put(b, (uint64_t)m->type, 2);
	put(b, 0, 2);
	if (m->type != SUP_HELLO) {
		put_i64(b, m->job);
		put_u32(b, m->attempt);
	}
	put_payload(b, m);
	n_bytes = msgbuf_pending(b) - start;
	if (n_bytes > SUP_MAX_BYTES) {
		b->len = b->at + start;
		return -E2BIG;
	}
	header = (unsigned char *)b->data + b->at + start;
	for (unsigned i = 0; i < 4; i++)
		header[i] = (unsigned char)((n_bytes - 4) >> (8 * i));
	return 0;
}

static int decode(const char *data, size_t len, struct msg *ret)
{
	struct reader r = { .p = (const unsigned char *)data };
	struct msg m = { .type = SUP_NONE };
	uint64_t n_bytes, type;

	if (len < 4)
		return 0;
	r.end = r.p + len;
	n_bytes = get(&r, 4) + 4;
	if (n_bytes > SUP_MAX_BYTES || n_bytes < SUP_HEADER_BYTES)
		return -EBADMSG;
	if (n_bytes > len)
		return 0;
	r.end = (const unsigned char *)data + n_bytes;
	type = get(&r, 2);
	if (type >= N_SUP_TYPES || get(&r, 2) != 0)
		return -EBADMSG;
	m.type = (enum msg_type)type;
	if (m.type != SUP_HELLO) {
		m.job = get_i64(&r);
		m.attempt = get_u32(&r);
	}
	get_payload(&r, &m);
	if (r.is_bad || r.p != r.end) {
		msg_fini(&m);
		return -EBADMSG;
	}
	*ret = m;
	return (int)n_bytes;
}

int msg_decode(const struct msgbuf *b, struct msg *ret)
{
	return decode(b->data ? b->data + b->at : "", msgbuf_pending(b), ret);
}

int msg_decode_packet(const void *data, size_t len, struct msg *ret)
{
	int n = decode(data, len, ret);

	if (n > 0 && (size_t)n != len) {
		msg_fini(ret);
		return -EBADMSG;
	}
	return n == 0 ? -EBADMSG : n;
}

void msg_fini(struct msg *m)
{
	if (m->type != SUP_START)
		return;
	free(m->start.argv);
	free(m->start.env);
	m->start.argv = m->start.env = NULL;
}

const char *msg_stage_name(unsigned stage)
{
	return stage < N_SUP_STAGES ? stage_names[stage] : "unknown";
}
