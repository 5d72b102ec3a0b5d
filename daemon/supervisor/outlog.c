/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/outlog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/base/folders.h"
#include "proto/xalloc.h"

/* A frame grows for so long; after that the next bytes get a time of their own. */
#define GROW_MS 100
/* Give space back in pieces of this size: a hole per line would be a system call per line. */
#define PUNCH_BYTES (256 * 1024)
/* Of a log's folders the daemon's state directory is there: output/THOUSAND/JOB are not. */
#define FOLDERS_MAX 3

static int64_t cost(uint32_t len)
{
	return len > OUTLOG_FRAME_HEADER_BYTES ? (int64_t)len : OUTLOG_FRAME_HEADER_BYTES;
}

static int write_at(int fd, const struct iovec *iov, int n_iov, uint64_t at)
{
	size_t want = 0;
	ssize_t n;

	for (int i = 0; i < n_iov; i++)
		want += iov[i].iov_len;
	do
		n = pwritev(fd, iov, n_iov, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	/* A short write is a disk that has just become full. */
	return (size_t)n == want ? 0 : -ENOSPC;
}

static void write_header(struct outlog *log)
{
	unsigned char bytes[OUTLOG_HEADER_BYTES];
	struct iovec iov = { bytes, sizeof(bytes) };

	outlog_header_put(bytes, &log->header);
	log->is_stale = write_at(log->fd, &iov, 1, 0) < 0;
}

/* Something did not fit: what was written of it must not look like a frame. */
static void cut_off(struct outlog *log)
{
	(void)!ftruncate(log->fd, (off_t)log->end);
}

static void frame_header(unsigned char out[OUTLOG_FRAME_HEADER_BYTES], uint32_t len,
			 enum outlog_stream stream, struct wall time)
{
	outlog_put(out, len, 4);
	outlog_put(out + 4, (uint64_t)stream, 4);
	outlog_put(out + 8, (uint64_t)time.ms, 8);
}

static void drop(struct outlog *log, size_t len)
{
	if (len == 0)
		return;
	log->dropped_bytes += (int64_t)len;
	log->header.end_lost += len;
	log->is_stale = true;
}

/*
 * What got lost before this moment has its place in front of the next frame.
 * The header forgets it first: in between a reader finds it nowhere, which is
 * better than twice.
 */
static int write_lost(struct outlog *log, struct wall now)
{
	unsigned char bytes[OUTLOG_FRAME_HEADER_BYTES + 8];
	struct iovec iov = { bytes, sizeof(bytes) };
	uint64_t lost = log->header.end_lost;
	int r;

	frame_header(bytes, 8, OUTLOG_LOST, now);
	outlog_put(bytes + OUTLOG_FRAME_HEADER_BYTES, lost, 8);
	log->header.end_lost = 0;
	write_header(log);
	r = write_at(log->fd, &iov, 1, log->end);
	if (r < 0) {
		cut_off(log);
		log->header.end_lost = lost;
		log->is_stale = true;
		return r;
	}
	log->end += sizeof(bytes);
	log->last_at = 0;
	*(log->head_full_at ? &log->tail_cost : &log->head_cost) += OUTLOG_FRAME_HEADER_BYTES;
	return 0;
}

static int write_frame(struct outlog *log, enum outlog_stream stream, const void *data,
		       uint32_t len, struct wall now)
{
	unsigned char head[OUTLOG_FRAME_HEADER_BYTES];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)data, len } };
	int r;

	frame_header(head, len, stream, now);
	r = write_at(log->fd, iov, 2, log->end);
	if (r < 0) {
		cut_off(log);
		return r;
	}
	log->last_at = log->end;
	log->last_len = len;
	log->last_stream = stream;
	log->last_time = now;
	log->end += sizeof(head) + len;
	return 0;
}

static int grow_frame(struct outlog *log, const void *data, uint32_t len)
{
	unsigned char le[4];
	struct iovec length = { le, sizeof(le) }, bytes = { (void *)(uintptr_t)data, len };
	int r;

	/* Length first: without it the new bytes would look like a frame to a reader. */
	outlog_put(le, log->last_len + len, 4);
	r = write_at(log->fd, &length, 1, log->last_at);
	if (r == 0)
		r = write_at(log->fd, &bytes, 1, log->end);
	if (r < 0) {
		/*
		 * The length is now a lie that must not stay; its block is there, so this
		 * needs no space.
		 */
		cut_off(log);
		outlog_put(le, log->last_len, 4);
		(void)!write_at(log->fd, &length, 1, log->last_at);
		return r;
	}
	log->last_len += len;
	log->end += len;
	return 0;
}

/* How many of @len bytes can still go into the last frame. */
static uint32_t may_grow(const struct outlog *log, enum outlog_stream stream, uint32_t len,
			 struct wall now)
{
	uint32_t room;

	if (log->last_at == 0 || log->last_stream != stream || log->header.end_lost > 0 ||
	    now.ms - log->last_time.ms > GROW_MS || now.ms < log->last_time.ms ||
	    log->last_len >= log->frame_max)
		return 0;
	room = log->frame_max - log->last_len;
	return room < len ? room : len;
}

/* The oldest frame of the tail falls out.  False when there is none, or it cannot be read. */
static bool drop_oldest(struct outlog *log)
{
	unsigned char head[OUTLOG_FRAME_HEADER_BYTES + 8];
	uint64_t at = log->header.tail_start, len;
	ssize_t n;

	if (at >= log->end)
		return false;
	n = pread(log->fd, head, sizeof(head), (off_t)at);
	if (n < OUTLOG_FRAME_HEADER_BYTES)
		return false;
	len = outlog_get(head, 4);
	if (head[4] == OUTLOG_LOST) {
		if (n < (ssize_t)sizeof(head))
			return false;
		log->header.gap_bytes += outlog_get(head + OUTLOG_FRAME_HEADER_BYTES, 8);
		log->tail_cost -= OUTLOG_FRAME_HEADER_BYTES;
	} else {
		log->header.gap_bytes += len;
		log->dropped_bytes += (int64_t)len;
		log->tail_cost -= cost((uint32_t)len);
	}
	log->header.tail_start = at + OUTLOG_FRAME_HEADER_BYTES + len;
	if (log->header.tail_start >= log->end)
		log->last_at = 0;
	return true;
}

static void punch(struct outlog *log, bool is_last)
{
	uint64_t to = log->header.tail_start;

	if (to - log->punched_to < PUNCH_BYTES && !is_last)
		return;
	if (fallocate(log->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)log->punched_to,
		      (off_t)(to - log->punched_to)) < 0) {
		log->has_no_holes = true;
		return;
	}
	log->punched_to = to;
}

static void shrink_tail(struct outlog *log)
{
	int64_t tail_limit = log->limit_bytes - log->head_cost;
	uint64_t before = log->header.tail_start;

	if (log->head_cost + log->tail_cost <= log->limit_bytes || log->has_no_holes)
		return;
	if (log->header.head_end == 0) {
		log->header.head_end = log->head_full_at;
		log->header.tail_start = log->head_full_at;
		log->punched_to = log->head_full_at;
	}
	while (log->tail_cost > tail_limit && drop_oldest(log))
		;
	if (log->header.tail_start == before)
		return;
	write_header(log);
	/* No hole before the file says where it ends. */
	if (!log->is_stale)
		punch(log, false);
}

static bool is_head_full(const struct outlog *log)
{
	return log->head_full_at != 0;
}

/* No more than the head still takes, so that the halves meet at a frame's end. */
static uint32_t bound_by_head(struct outlog *log, uint32_t len, uint32_t grown_from)
{
	int64_t room = log->limit_bytes / 2 - log->head_cost;

	if (is_head_full(log))
		return len;
	/* A frame below its minimal cost grows for nothing. */
	if (grown_from > 0 && grown_from < OUTLOG_FRAME_HEADER_BYTES)
		room += OUTLOG_FRAME_HEADER_BYTES - grown_from;
	if (room < 1 || (grown_from == 0 && room < OUTLOG_FRAME_HEADER_BYTES)) {
		log->head_full_at = log->end;
		log->last_at = 0;
		return 0;
	}
	return (int64_t)len > room ? (uint32_t)room : len;
}

/*
 * Append as much of @data as one step takes; returns how much, 0 = look again, -errno = it
 * does not fit the disk.
 */
static int64_t add_some(struct outlog *log, enum outlog_stream stream, const char *data, size_t len,
			struct wall now)
{
	uint32_t n = len < log->frame_max ? (uint32_t)len : log->frame_max, grow, from = 0;
	int64_t *kept;
	int r;

	if (log->header.end_lost > 0) {
		r = write_lost(log, now);
		if (r < 0)
			return r;
	}
	grow = may_grow(log, stream, n, now);
	if (grow > 0) {
		from = log->last_len;
		n = grow;
	}
	n = bound_by_head(log, n, from);
	if (n == 0)
		return 0;
	r = grow > 0 ? grow_frame(log, data, n) : write_frame(log, stream, data, n, now);
	if (r < 0)
		return r;
	kept = is_head_full(log) ? &log->tail_cost : &log->head_cost;
	*kept += cost(from + n) - (from ? cost(from) : 0);
	shrink_tail(log);
	return n;
}

/* ---- the file ---- */

static int make_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *folder = xstrndup(path, slash ? (size_t)(slash - path) : 0);

	return folders_make(folder, FOLDERS_MAX);
}

static int create(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int open_file(struct outlog *log)
{
	log->fd = create(log->path);
	/* A removal of another job may take a parent away in between, so try again. */
	for (int tries = 0; log->fd < 0 && errno == ENOENT && tries < 5; tries++) {
		(void)!make_folder_of(log->path);
		log->fd = create(log->path);
	}
	if (log->fd < 0)
		return -errno;
	/* A disk that is full already: the header is tried again with each byte that comes. */
	write_header(log);
	return 0;
}

void outlog_init(struct outlog *log, const char *path, int64_t limit_bytes)
{
	int64_t frame_max = limit_bytes / 16;

	if (frame_max < 64)
		frame_max = 64;
	if (frame_max > OUTLOG_FRAME_MAX_BYTES)
		frame_max = OUTLOG_FRAME_MAX_BYTES;
	*log = (struct outlog){
		.path = path,
		.fd = -1,
		.limit_bytes = limit_bytes,
		.frame_max = (uint32_t)frame_max,
		.end = OUTLOG_HEADER_BYTES,
	};
	/* From another life of the database, which a backup has brought back. */
	(void)unlink(path);
}

/*
 * Of @len bytes at once, how many of the first fall out of the tail with the
 * last of them.  To write them all the same would take a small limit, whose
 * frames are small, a few system calls for each 64 bytes of a flood.
 */
static size_t cannot_stay(const struct outlog *log, size_t len)
{
	int64_t room = log->limit_bytes - log->head_cost;

	return is_head_full(log) && (int64_t)len > room ? len - (size_t)room : 0;
}

void outlog_add(struct outlog *log, enum outlog_stream stream, const void *data, size_t len,
		struct wall now)
{
	const char *p = data;

	log->total_bytes += (int64_t)len;
	if (log->fd < 0 && open_file(log) < 0) {
		drop(log, len);
		return;
	}
	while (len > 0) {
		bool is_full =
			log->has_no_holes && log->head_cost + log->tail_cost >= log->limit_bytes;
		size_t excess = cannot_stay(log, len);
		int64_t n;

		drop(log, excess);
		p += excess;
		len -= excess;
		if (len == 0)
			break;
		n = is_full ? -ENOSPC : add_some(log, stream, p, len, now);
		if (n < 0) {
			drop(log, len);
			break;
		}
		p += n;
		len -= (size_t)n;
	}
	if (log->is_stale)
		write_header(log);
}

void outlog_close(struct outlog *log)
{
	if (log->fd < 0)
		return;
	if (log->header.head_end != 0 && !log->has_no_holes)
		punch(log, true);
	log->header.flags |= OUTLOG_CLOSED;
	write_header(log);
	close(log->fd);
	log->fd = -1;
}
