/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/copy.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "daemon/base/now.h"
#include "proto/xalloc.h"

/*
 * The file is one to SQLite through a VFS of its own, of which no call touches
 * the real file: writes are put into a list, by which they are also found when
 * SQLite reads them back.
 *
 * What is written and gone from memory is not read back from the disk, which
 * might take long: it reads as nothing.  SQLite's backup reads a page of its
 * target only to overwrite all of it; but for the first page, which we keep.
 */

#define ROOM_BYTES ((size_t)4 << 20)  /* with more no new slice is begun */
#define MAX_BYTES ((size_t)64 << 20)  /* more than this is not kept in memory */
#define WRITE_BYTES ((size_t)1 << 20) /* at once: disks that are slow are so per write */
#define HEAD_BYTES 65536	      /* SQLite's largest page */
#define N_BUCKETS 4096
#define DISCARD_WAIT_MS 2000

/* A page that waits to be written. */
struct piece {
	struct piece *prev, *next; /* in the order in which they came */
	struct piece *in_bucket;   /* the next one there */
	int64_t at;
	size_t len;
	unsigned char data[];
};

struct copy {
	sqlite3_vfs vfs;
	char name[40];
	int fd; /* owns; the writer's */
	pthread_t writer;

	/* under the lock */
	pthread_mutex_t lock;
	pthread_cond_t to_do, is_done;
	struct piece *first, *last;
	struct piece *buckets[N_BUCKETS];
	size_t n_bytes; /* in memory, also of those being written */
	int64_t size;	/* of the file, as SQLite sees it */
	unsigned char head[HEAD_BYTES];
	size_t n_head;
	int error;
	bool is_complete; /* nothing more will come */
	bool is_given_up;
	bool is_over;	   /* the writer has ended, or will without looking at anything again */
	bool is_abandoned; /* the writer frees us */
	void (*on_room)(void *arg); /* NULL: nobody waits for room */
	void *on_room_arg;
};

/* As SQLite allocates it for its file. */
struct copy_file {
	sqlite3_file base;
	struct copy *copy;
};

/* ---- the list ---- */

static struct piece **bucket_of(struct copy *c, int64_t at)
{
	return &c->buckets[(uint64_t)at / 4096 % N_BUCKETS];
}

static struct piece *find(struct copy *c, int64_t at)
{
	struct piece *p = *bucket_of(c, at);

	while (p && p->at != at)
		p = p->in_bucket;
	return p;
}

static void append(struct copy *c, struct piece *p)
{
	struct piece **bucket = bucket_of(c, p->at);

	p->in_bucket = *bucket;
	*bucket = p;
	p->prev = c->last;
	p->next = NULL;
	*(c->last ? &c->last->next : &c->first) = p;
	c->last = p;
	c->n_bytes += p->len;
}

/* Out of the list; its bytes still count. */
static void take_out(struct copy *c, struct piece *p)
{
	struct piece **at = bucket_of(c, p->at);

	while (*at != p)
		at = &(*at)->in_bucket;
	*at = p->in_bucket;
	*(p->prev ? &p->prev->next : &c->first) = p->next;
	*(p->next ? &p->next->prev : &c->last) = p->prev;
}

static void drop(struct copy *c, struct piece *p)
{
	take_out(c, p);
	c->n_bytes -= p->len;
	free(p);
}

static void tell_room(struct copy *c)
{
	if (c->on_room)
		c->on_room(c->on_room_arg);
	c->on_room = NULL;
}

/* The first error counts. */
static void fail(struct copy *c, int error)
{
	if (c->error == 0)
		c->error = error;
	while (c->first)
		drop(c, c->first);
	tell_room(c);
}

/* ---- the file, as SQLite sees it ---- */

static struct copy *copy_of(sqlite3_file *file)
{
	return ((struct copy_file *)file)->copy;
}

static int file_close(sqlite3_file *file)
{
	(void)file;
	return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	struct copy *c = copy_of(file);
	const struct piece *p;
	int rc = SQLITE_OK;

	pthread_mutex_lock(&c->lock);
	p = find(c, at);
	if ((size_t)at + (size_t)len <= c->n_head) {
		memcpy(to, c->head + at, (size_t)len);
	} else if (p && p->len == (size_t)len) {
		memcpy(to, p->data, (size_t)len);
	} else {
		memset(to, 0, (size_t)len);
		rc = SQLITE_IOERR_SHORT_READ;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

/* An errno, 0 = it is kept. */
static int keep(struct copy *c, const void *data, size_t len, int64_t at)
{
	struct piece *p = find(c, at);

	if (c->error != 0)
		return c->error;
	if (p && p->len != len)
		return EINVAL;
	if (!p && c->n_bytes + len > MAX_BYTES)
		return ENOBUFS;
	if (!p) {
		p = malloc(sizeof(*p) + len);
		if (!p)
			return ENOMEM;
		p->at = at;
		p->len = len;
		append(c, p);
	}
	memcpy(p->data, data, len);
	if (at == 0 && len <= HEAD_BYTES) {
		memcpy(c->head, data, len);
		c->n_head = len;
	}
	if (c->size < at + (int64_t)len)
		c->size = at + (int64_t)len;
	return 0;
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
	struct copy *c = copy_of(file);
	int e;

	pthread_mutex_lock(&c->lock);
	e = keep(c, data, (size_t)len, at);
	if (e != 0)
		fail(c, e);
	pthread_cond_signal(&c->to_do);
	pthread_mutex_unlock(&c->lock);
	return e == 0 ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct copy *c = copy_of(file);

	pthread_mutex_lock(&c->lock);
	c->size = size;
	for (struct piece *p = c->first, *next; p; p = next) {
		next = p->next;
		if (p->at >= size)
			drop(c, p);
	}
	pthread_mutex_unlock(&c->lock);
	return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct copy *c = copy_of(file);

	pthread_mutex_lock(&c->lock);
	*ret = c->size;
	pthread_mutex_unlock(&c->lock);
	return SQLITE_OK;
}

/* Syncs and locks: the one is done when all is written, nobody else is there for the other. */
static int file_nothing(sqlite3_file *file, int what)
{
	(void)file;
	(void)what;
	return SQLITE_OK;
}

static int file_is_reserved(sqlite3_file *file, int *ret)
{
	(void)file;
	*ret = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int what, void *arg)
{
	(void)file;
	(void)what;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_traits(sqlite3_file *file)
{
	(void)file;
	return 0;
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_nothing,
	.xFileSize = file_size,
	.xLock = file_nothing,
	.xUnlock = file_nothing,
	.xCheckReservedLock = file_is_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_traits,
	.xDeviceCharacteristics = file_traits,
};

/* ---- where the file is, as SQLite sees it ---- */

/* The database alone; it has no journal, and nothing else is there. */
static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
		    int *ret_flags)
{
	struct copy_file *f = (struct copy_file *)file;

	(void)path;
	f->base.pMethods = NULL;
	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	f->copy = vfs->pAppData;
	f->base.pMethods = &file_methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	(void)vfs;
	(void)path;
	(void)sync;
	return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
	(void)vfs;
	(void)path;
	(void)flags;
	*ret = 0;
	return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int size, char *ret)
{
	(void)vfs;
	return snprintf(ret, (size_t)size, "%s", path) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static void init_vfs(struct copy *c)
{
	c->vfs = *sqlite3_vfs_find(NULL); /* for its clock and its like */
	c->vfs.iVersion = 1;
	c->vfs.szOsFile = sizeof(struct copy_file);
	snprintf(c->name, sizeof(c->name), "awaitd-copy-%p", (void *)c);
	c->vfs.zName = c->name;
	c->vfs.pNext = NULL;
	c->vfs.pAppData = c;
	c->vfs.xOpen = vfs_open;
	c->vfs.xDelete = vfs_delete;
	c->vfs.xAccess = vfs_access;
	c->vfs.xFullPathname = vfs_full_path;
}

int copy_register(struct copy *c)
{
	return sqlite3_vfs_register(&c->vfs, 0);
}

const char *copy_vfs(const struct copy *c)
{
	return c->name;
}

void copy_unregister(struct copy *c)
{
	sqlite3_vfs_unregister(&c->vfs);
}

/* ---- the writing thread ---- */

/* 0 or an errno. */
static int write_all(int fd, const unsigned char *data, size_t len, int64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		data += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The oldest, with those that follow it in the file; through ->next. */
static struct piece *take_run(struct copy *c)
{
	struct piece *run = c->first, *last = run, *p;
	size_t len = run->len;

	take_out(c, run);
	run->next = NULL;
	while ((p = find(c, last->at + (int64_t)last->len)) && len + p->len <= WRITE_BYTES) {
		take_out(c, p);
		p->next = NULL;
		last->next = p;
		last = p;
		len += p->len;
	}
	return run;
}

/* Write and free them.  *ret_len is what they were. */
static int write_run(int fd, struct piece *run, unsigned char *buffer, size_t *ret_len)
{
	int64_t at = run->at;
	size_t len = 0;

	while (run) {
		struct piece *next = run->next;

		memcpy(buffer + len, run->data, run->len);
		len += run->len;
		free(run);
		run = next;
	}
	*ret_len = len;
	return write_all(fd, buffer, len, at);
}

/* The next run, NULL = there is nothing more to do. */
static struct piece *wait_for_run(struct copy *c)
{
	while (!c->first && !c->is_complete && !c->is_given_up)
		pthread_cond_wait(&c->to_do, &c->lock);
	return c->first && !c->is_given_up ? take_run(c) : NULL;
}

static void copy_free(struct copy *c)
{
	while (c->first)
		drop(c, c->first);
	if (c->fd >= 0)
		close(c->fd);
	pthread_cond_destroy(&c->to_do);
	pthread_cond_destroy(&c->is_done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void end_writer(struct copy *c)
{
	bool is_abandoned;

	if (c->error == 0 && !c->is_given_up && ftruncate(c->fd, c->size) < 0)
		c->error = errno;
	c->is_over = true;
	is_abandoned = c->is_abandoned;
	pthread_cond_signal(&c->is_done);
	pthread_mutex_unlock(&c->lock);
	if (is_abandoned)
		copy_free(c);
}

static void *write_pieces(void *arg)
{
	struct copy *c = arg;
	unsigned char *buffer = xmalloc(WRITE_BYTES);
	struct piece *run;

	pthread_mutex_lock(&c->lock);
	while ((run = wait_for_run(c))) {
		size_t len;
		int e;

		pthread_mutex_unlock(&c->lock);
		e = write_run(c->fd, run, buffer, &len);
		pthread_mutex_lock(&c->lock);
		c->n_bytes -= len;
		if (e != 0)
			fail(c, e);
		else if (c->n_bytes < ROOM_BYTES / 2)
			tell_room(c);
	}
	free(buffer);
	end_writer(c);
	return NULL;
}

/* ---- the rest ---- */

int copy_start(int fd, struct copy **ret)
{
	struct copy *c = xcalloc(1, sizeof(*c));
	pthread_condattr_t attr;
	int r;

	c->fd = fd;
	init_vfs(c);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->to_do, &attr);
	pthread_cond_init(&c->is_done, &attr);
	pthread_condattr_destroy(&attr);
	r = pthread_create(&c->writer, NULL, write_pieces, c);
	if (r != 0)
		copy_free(c);
	else
		*ret = c;
	return -r;
}

bool copy_has_room(struct copy *c, void (*on_room)(void *arg), void *arg)
{
	bool has;

	pthread_mutex_lock(&c->lock);
	has = c->n_bytes < ROOM_BYTES || c->error != 0;
	c->on_room = has ? NULL : on_room;
	c->on_room_arg = arg;
	pthread_mutex_unlock(&c->lock);
	return has;
}

void copy_leave(struct copy *c)
{
	pthread_mutex_lock(&c->lock);
	c->on_room = NULL;
	pthread_mutex_unlock(&c->lock);
}

int copy_error(struct copy *c)
{
	int e;

	pthread_mutex_lock(&c->lock);
	e = c->error;
	pthread_mutex_unlock(&c->lock);
	return e;
}

int copy_finish(struct copy *c)
{
	int e;

	pthread_mutex_lock(&c->lock);
	c->is_complete = true;
	pthread_cond_signal(&c->to_do);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->writer, NULL);
	e = c->error;
	copy_free(c);
	return -e;
}

/* false: not within DISCARD_WAIT_MS. */
static bool wait_for_writer(struct copy *c)
{
	struct timespec end = now_timespec_in_ms(DISCARD_WAIT_MS);
	int r = 0;

	while (!c->is_over && r == 0)
		r = pthread_cond_timedwait(&c->is_done, &c->lock, &end);
	return c->is_over;
}

bool copy_discard(struct copy *c)
{
	bool is_over;

	pthread_mutex_lock(&c->lock);
	c->is_given_up = true;
	pthread_cond_signal(&c->to_do);
	is_over = wait_for_writer(c);
	c->is_abandoned = !is_over;
	if (!is_over)
		pthread_detach(c->writer);
	pthread_mutex_unlock(&c->lock);
	if (!is_over)
		return false;
	pthread_join(c->writer, NULL);
	copy_free(c);
	return true;
}
