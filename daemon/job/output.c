/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/output.h"

#include "daemon/base/outlog_format.h"
#include "daemon/job/jobdir.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW_BYTES (128 * 1024)
/* A log that changes under us faster than we can look at it is given up after so many turns. */
#define RESTARTS_MAX 100

/*
 * One read of a framed log.  The file may grow, and its tail may fall out,
 * all the while: the header is read again after each window, and what lies
 * before tail_start then is not trusted (daemon/base/outlog_format.h).
 */
struct scan {
	struct output_read *r;
	int fd;
	struct outlog_header header; /* as it was after the window was filled */
	unsigned char *window;	     /* owns */
	uint64_t window_at;
	size_t window_len;
	uint64_t at;		 /* the frame we look at */
	int64_t offset;		 /* of its first byte */
	int64_t head_end_offset; /* of the byte behind the head; -1 = not passed yet */
	int64_t pos;		 /* of the next byte wanted */
	unsigned n_restarts;
};

struct frame {
	uint32_t len;
	unsigned stream;	   /* enum outlog_stream */
	const unsigned char *data; /* in the window */
	size_t n_there;		   /* of its bytes, already in the file */
	bool is_last; /* nothing behind it: it may grow, so the place stays in front of it */
};

static ssize_t read_at(int fd, void *data, size_t len, uint64_t at)
{
	size_t n = 0;

	while (n < len) {
		ssize_t r = pread(fd, (char *)data + n, len - n, (off_t)(at + n));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	return (ssize_t)n;
}

/* 1, 0 when there is none yet (the disk was full from the start), or -errno. */
static int read_header(int fd, struct outlog_header *ret)
{
	unsigned char bytes[OUTLOG_HEADER_BYTES];

	for (int tries = 0; tries < 100; tries++) {
		ssize_t n = read_at(fd, bytes, sizeof(bytes), 0);

		if (n < 0)
			return (int)n;
		if (n < (ssize_t)sizeof(bytes) || outlog_get(bytes, 8) == 0)
			return 0;
		if (outlog_header_get(bytes, ret))
			return 1;
	}
	return -EBADMSG;
}

/*
 * The size comes first: a growing frame gets its length before its bytes, so
 * what was in the file a moment ago is covered by the lengths that are there
 * now.  Bytes that arrive while we read may not be.
 */
static int fill_window(struct scan *s)
{
	size_t len = WINDOW_BYTES;
	struct stat st;
	ssize_t n;
	int r;

	if (fstat(s->fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size < s->at + len)
		len = (uint64_t)st.st_size > s->at ? (size_t)((uint64_t)st.st_size - s->at) : 0;
	n = read_at(s->fd, s->window, len, s->at);
	if (n < 0)
		return (int)n;
	s->window_at = s->at;
	s->window_len = (size_t)n;
	r = read_header(s->fd, &s->header);
	return r < 0 ? r : 0;
}

/* Have the window cover @n bytes at the frame, or as many as the file has. */
static int want_window(struct scan *s, size_t n)
{
	if (s->at >= s->window_at && s->at + n <= s->window_at + s->window_len)
		return 0;
	return fill_window(s);
}

static size_t window_left(const struct scan *s)
{
	if (s->at < s->window_at || s->at > s->window_at + s->window_len)
		return 0;
	return (size_t)(s->window_at + s->window_len - s->at);
}

static int restart(struct scan *s)
{
	s->at = OUTLOG_HEADER_BYTES;
	s->offset = 0;
	s->head_end_offset = -1;
	return ++s->n_restarts > RESTARTS_MAX ? -EBADMSG : 0;
}

/*
 * Bytes up to @offset do not exist any more.  False: not now, there is an
 * answer already, and it ends here, so that whoever shows it knows where the
 * bytes are missing: in front.
 */
static bool skip_to(struct scan *s, int64_t offset)
{
	if (s->pos >= offset)
		return true;
	if (s->r->len > 0)
		return false;
	s->r->dropped += offset - s->pos;
	s->pos = offset;
	return true;
}

/*
 * 1 = look again, 0 = the frame at s->at is real as far as the header knows, -EAGAIN = the
 * answer ends here.
 */
static int pass_gap(struct scan *s)
{
	const struct outlog_header *h = &s->header;
	int64_t offset;

	if (h->head_end == 0)
		return 0;
	if (s->at == h->head_end)
		s->head_end_offset = s->offset;
	if (s->at < h->head_end || s->at >= h->tail_start)
		return 0;
	if (s->head_end_offset < 0) {
		int r = restart(s);

		return r < 0 ? r : 1;
	}
	offset = s->head_end_offset + (int64_t)h->gap_bytes;
	if (!skip_to(s, offset))
		return -EAGAIN;
	s->at = h->tail_start;
	s->offset = offset;
	return 1;
}

static uint64_t window_end(const struct scan *s)
{
	return s->window_at + s->window_len;
}

/* The frame at s->at out of the window.  False: these are no frame's bytes. */
static bool parse_frame(const struct scan *s, struct frame *ret)
{
	const unsigned char *p = s->window + (s->at - s->window_at);

	ret->len = (uint32_t)outlog_get(p, 4);
	ret->stream = p[4];
	ret->data = p + OUTLOG_FRAME_HEADER_BYTES;
	ret->n_there = window_left(s) - OUTLOG_FRAME_HEADER_BYTES;
	ret->is_last = ret->n_there <= ret->len;
	if (ret->n_there > ret->len)
		ret->n_there = ret->len;
	if (ret->stream == OUTLOG_LOST)
		return ret->len == 8;
	return (ret->stream == OUTLOG_STDOUT || ret->stream == OUTLOG_STDERR) &&
	       ret->len <= OUTLOG_FRAME_MAX_BYTES;
}

/*
 * 1 and the frame, 0 at the end of the file, -EAGAIN when the answer ends here, or another
 * -errno.
 */
static int next_frame(struct scan *s, struct frame *ret)
{
	int r;

	for (;;) {
		r = want_window(s, OUTLOG_FRAME_HEADER_BYTES);
		if (r < 0)
			return r;
		r = pass_gap(s);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (window_left(s) < OUTLOG_FRAME_HEADER_BYTES)
			return 0;
		if (!parse_frame(s, ret))
			return -EBADMSG;
		if (!ret->is_last || s->window_at == s->at)
			return 1;
		/*
		 * Perhaps only the last in this window: a fresh one tells, and whether the gap
		 * has moved.
		 */
		r = fill_window(s);
		if (r < 0)
			return r;
	}
}

static void add_data(struct output_read *r, unsigned stream, const void *data, size_t len)
{
	struct output_piece *last = r->n_pieces ? &r->pieces[r->n_pieces - 1] : NULL;

	if (len == 0)
		return;
	if (!r->data)
		r->data = xmalloc(r->limit_bytes);
	memcpy(r->data + r->len, data, len);
	if (last && last->stream == stream) {
		last->len += len;
	} else {
		/* Grown at powers of two. */
		if ((r->n_pieces & (r->n_pieces - 1)) == 0)
			r->pieces = xreallocarray(r->pieces, r->n_pieces ? r->n_pieces * 2 : 1,
						  sizeof(*r->pieces));
		r->pieces[r->n_pieces++] = (struct output_piece){ stream, r->len, len };
	}
	r->len += len;
}

/* Take what is wanted of @f.  False: the answer is full. */
static bool take_data(struct scan *s, const struct frame *f)
{
	struct output_read *r = s->r;
	unsigned stream = f->stream == OUTLOG_STDOUT ? OUTPUT_STDOUT : OUTPUT_STDERR;
	size_t skip = s->pos > s->offset ? (size_t)(s->pos - s->offset) : 0, n;

	if (skip >= f->n_there)
		return true;
	n = f->n_there - skip;
	if (r->streams & stream) {
		if (n > r->limit_bytes - r->len)
			n = r->limit_bytes - r->len;
		add_data(r, stream, f->data + skip, n);
	}
	s->pos += (int64_t)n;
	return skip + n == f->n_there;
}

/*
 * At the end of the file, where the last frame ends with @offset.  1 = look
 * again, more has come; 0 or -errno.
 */
static int finish(struct scan *s, int64_t offset)
{
	uint64_t lost = s->header.end_lost, end = window_end(s);
	int r;

	s->r->is_at_end = true;
	if (lost == 0)
		return 0;
	/* They lie behind the last frame: make sure that this still was the last one. */
	r = fill_window(s);
	if (r < 0)
		return r;
	if (window_end(s) != end) {
		s->r->is_at_end = false;
		return s->n_restarts++ < RESTARTS_MAX ? 1 : -EBADMSG;
	}
	s->r->is_at_end = skip_to(s, offset + (int64_t)lost);
	return 0;
}

/* 1 = on to the next, 0 = the answer ends here, or -errno. */
static int take_frame(struct scan *s, const struct frame *f)
{
	int64_t after = s->offset + f->len;

	if (f->stream == OUTLOG_LOST && f->n_there == f->len) {
		after = s->offset + (int64_t)outlog_get(f->data, 8);
		if (after < s->offset)
			return -EBADMSG;
		if (!skip_to(s, after))
			return 0;
	} else if (f->stream != OUTLOG_LOST && !take_data(s, f)) {
		return 0;
	}
	if (f->is_last) {
		s->r->is_at_end = true;
		return f->n_there == f->len ? finish(s, after) : 0;
	}
	s->at += OUTLOG_FRAME_HEADER_BYTES + f->len;
	s->offset = after;
	return 1;
}

static int scan_frames(struct scan *s)
{
	struct frame f;
	int r;

	do {
		r = next_frame(s, &f);
		if (r > 0)
			r = take_frame(s, &f);
		else if (r == 0)
			r = finish(s, s->offset);
	} while (r > 0);
	return r == -EAGAIN ? 0 : r;
}

/* Where the last read ended is where we go on, unless somebody asks for what lies before it. */
static void place(struct scan *s)
{
	const struct output_read *r = s->r;

	s->at = OUTLOG_HEADER_BYTES;
	s->head_end_offset = -1;
	s->pos = r->offset > 0 ? r->offset : 0;
	if (r->file_at > OUTLOG_HEADER_BYTES && r->file_offset <= r->offset) {
		s->at = (uint64_t)r->file_at;
		s->offset = r->file_offset;
	}
}

static int read_log(struct output_read *r, int fd)
{
	struct scan s = { .r = r, .fd = fd };
	int result = read_header(fd, &s.header);

	r->next_offset = r->offset;
	r->is_at_end = result == 0;
	if (result <= 0)
		return result;
	place(&s);
	s.window = xmalloc(WINDOW_BYTES);
	result = scan_frames(&s);
	free(s.window);
	if (result < 0)
		return result;
	r->next_offset = s.pos;
	r->file_at = (int64_t)s.at;
	r->file_offset = s.offset;
	return 0;
}

/* A fetch's body: bytes as they are. */
static int read_body(struct output_read *r, int fd)
{
	struct stat st;
	ssize_t n = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	r->next_offset = r->offset > st.st_size ? r->offset : st.st_size;
	r->is_at_end = true;
	if (!(r->streams & OUTPUT_STDOUT) || r->offset >= st.st_size || r->limit_bytes == 0)
		return 0;
	r->data = xmalloc(r->limit_bytes);
	n = read_at(fd, r->data, r->limit_bytes, (uint64_t)r->offset);
	if (n < 0)
		return (int)n;
	if (n > 0) {
		r->pieces = xmalloc(sizeof(*r->pieces));
		r->pieces[0] = (struct output_piece){ OUTPUT_STDOUT, 0, (size_t)n };
		r->n_pieces = 1;
	}
	r->len = (size_t)n;
	r->next_offset = r->offset + n;
	r->is_at_end = r->next_offset >= st.st_size;
	return 0;
}

static int open_output(const struct output_read *r, const char *suffix)
{
	cleanup_free char *path = jobdir_path(r->id, r->attempt, suffix);
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int output_read(struct output_read *r)
{
	bool is_log = true;
	int fd = open_output(r, "log"), result;

	r->data = NULL;
	r->pieces = NULL;
	r->len = r->n_pieces = 0;
	r->dropped = 0;
	if (fd == -ENOENT) {
		is_log = false;
		fd = open_output(r, "body");
	}
	if (fd == -ENOENT) {
		r->next_offset = r->offset;
		r->is_at_end = true;
		return 0;
	}
	if (fd < 0)
		return fd;
	result = is_log ? read_log(r, fd) : read_body(r, fd);
	close(fd);
	if (result < 0)
		output_read_fini(r);
	return result;
}

void output_read_fini(struct output_read *r)
{
	free(r->data);
	free(r->pieces);
	r->data = NULL;
	r->pieces = NULL;
	r->len = r->n_pieces = 0;
}
