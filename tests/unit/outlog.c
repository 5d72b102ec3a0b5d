/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/outlog.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/job/jobdir.h"
#include "daemon/job/output.h"
#include "proto/xalloc.h"
#include "tests/unit/suite.h"

/* The writer against the reader, and both against a model that keeps everything (R3.7). */

#define JOB 4711

static char dir[] = "/tmp/awaitd-outlog-XXXXXX";
static unsigned seed;

struct model {
	unsigned char *data, *stream; /* own; by offset */
	size_t len, size;
};

static struct outlog log_;
static struct model model;

static void model_add(unsigned char stream, const unsigned char *data, size_t len)
{
	if (model.len + len > model.size) {
		model.size = (model.len + len) * 2;
		model.data = xrealloc(model.data, model.size);
		model.stream = xrealloc(model.stream, model.size);
	}
	memcpy(model.data + model.len, data, len);
	memset(model.stream + model.len, stream, len);
	model.len += len;
}

static void model_free(void)
{
	free(model.data);
	free(model.stream);
	model = (struct model){ 0 };
}

static void setup(void)
{
	const char *given = getenv("AWAITD_TEST_SEED");

	seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
	srandom(seed);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	jobdir_init(dir);
	ck_assert_int_eq(jobdir_make(JOB), 0);
}

static char *log_path;

static void teardown(void)
{
	char path[128];

	outlog_close(&log_);
	free(log_path);
	log_path = NULL;
	model_free();
	ck_assert_int_eq(jobdir_remove(JOB), 0);
	snprintf(path, sizeof(path), "%s/output", dir);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void open_log(int64_t limit)
{
	free(log_path);
	log_path = jobdir_path(JOB, 1, "log");
	outlog_init(&log_, log_path, limit);
}

static void write_log(enum outlog_stream stream, const void *data, size_t len, int64_t ms)
{
	outlog_add(&log_, stream, data, len, (struct wall){ ms });
	model_add((unsigned char)stream, data, len);
}

static struct output_read read_log(int64_t offset, unsigned streams, size_t limit)
{
	struct output_read r = {
		.id = JOB, .attempt = 1, .streams = streams, .offset = offset, .limit_bytes = limit
	};

	ck_assert_int_eq(output_read(&r), 0);
	return r;
}

/* Compare what @r holds with the model, where [gap, gap_end) is known to be missing. */
static void compare(const struct output_read *r, int64_t gap, int64_t gap_end)
{
	size_t at = 0, piece = 0;
	int64_t dropped = 0;

	/* ck_assert writes a line for each call: not for each byte. */
	for (int64_t pos = r->offset; pos < r->next_offset; pos++) {
		if (pos >= gap && pos < gap_end) {
			dropped++;
			continue;
		}
		if (!(r->streams & (1u << (model.stream[pos] - 1))))
			continue;
		if (at >= r->len || (unsigned char)r->data[at] != model.data[pos])
			ck_abort_msg("seed %u: wrong byte at %" PRId64, seed, pos);
		while (at >= r->pieces[piece].at + r->pieces[piece].len)
			piece++;
		if (r->pieces[piece].stream != 1u << (model.stream[pos] - 1))
			ck_abort_msg("seed %u: wrong stream at %" PRId64, seed, pos);
		at++;
	}
	ck_assert_uint_eq(at, r->len);
	ck_assert_int_eq(dropped, r->dropped);
}

START_TEST(everything_is_kept_up_to_the_limit)
{
	struct output_read r;

	open_log(1000);
	for (int i = 0; i < 10; i++) {
		char text[100];

		memset(text, 'a' + i, sizeof(text));
		write_log(i % 2 ? OUTLOG_STDERR : OUTLOG_STDOUT, text, sizeof(text), i * 1000);
	}
	r = read_log(0, OUTPUT_BOTH, 4096);
	ck_assert_uint_eq(r.len, 1000);
	ck_assert_int_eq(r.dropped, 0);
	ck_assert(r.is_at_end);
	compare(&r, 0, 0);
	output_read_fini(&r);

	/* One byte more, and the middle goes. */
	write_log(OUTLOG_STDOUT, "z", 1, 20000);
	r = read_log(0, OUTPUT_BOTH, 4096);
	ck_assert_int_eq(r.next_offset, 500);
	ck_assert_int_eq(r.dropped, 0);
	ck_assert_int_eq(r.data[0], 'a');
	output_read_fini(&r);
	r = read_log(500, OUTPUT_BOTH, 4096);
	ck_assert_int_eq(r.next_offset, 1001);
	ck_assert_int_gt(r.dropped, 0);
	ck_assert_int_eq(r.dropped, log_.dropped_bytes);
	ck_assert_int_eq(r.data[r.len - 1], 'z');
	output_read_fini(&r);
}
END_TEST

START_TEST(no_output_is_an_empty_answer)
{
	struct output_read r = read_log(5, OUTPUT_BOTH, 100);

	ck_assert_uint_eq(r.len, 0);
	ck_assert_int_eq(r.next_offset, 5);
	ck_assert(r.is_at_end);
	open_log(1000);
	r = read_log(0, OUTPUT_BOTH, 100);
	ck_assert_uint_eq(r.len, 0);
	ck_assert(r.is_at_end);
}
END_TEST

START_TEST(the_first_byte_makes_file_and_folders)
{
	struct output_read r;

	ck_assert_int_eq(jobdir_remove(JOB), 0);
	open_log(1000);
	outlog_close(&log_);
	ck_assert_int_eq(access(log_path, F_OK), -1);
	open_log(1000);
	write_log(OUTLOG_STDOUT, "hello", 5, 1);
	outlog_close(&log_);
	r = read_log(0, OUTPUT_BOTH, 100);
	ck_assert_uint_eq(r.len, 5);
	output_read_fini(&r);
	/* A backup that was put back may give a number that was somebody else's. */
	open_log(1000);
	ck_assert_int_eq(access(log_path, F_OK), -1);
}
END_TEST

START_TEST(without_a_place_all_is_dropped)
{
	outlog_init(&log_, "/dev/null/1.log", 1000);
	outlog_add(&log_, OUTLOG_STDOUT, "hello", 5, (struct wall){ 1 });
	outlog_add(&log_, OUTLOG_STDERR, "again", 5, (struct wall){ 2 });
	ck_assert_int_eq(log_.total_bytes, 10);
	ck_assert_int_eq(log_.dropped_bytes, 10);
}
END_TEST

START_TEST(nothing_kept_at_limit_zero)
{
	struct output_read r;

	open_log(0);
	write_log(OUTLOG_STDOUT, "hello", 5, 1);
	ck_assert_int_eq(log_.dropped_bytes, 5);
	r = read_log(0, OUTPUT_BOTH, 100);
	ck_assert_uint_eq(r.len, 0);
	ck_assert_int_eq(r.next_offset, 5);
	ck_assert_int_eq(r.dropped, 5);
	output_read_fini(&r);
}
END_TEST

static void write_randomly(size_t most)
{
	static unsigned char data[200000];
	size_t left = (size_t)random() % most;
	int64_t ms = 1000;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)random();
	while (left > 0) {
		size_t max = random() % 3 ? 40 : sizeof(data), n = 1 + (size_t)random() % max;

		n = n > left ? left : n;
		write_log(random() % 2 ? OUTLOG_STDOUT : OUTLOG_STDERR,
			  data + (size_t)random() % (sizeof(data) - n + 1), n, ms);
		ms += random() % 150;
		left -= n;
	}
}

/*
 * Where the gap is: the answer from the start ends in front of it, or, when a small limit
 * leaves no head, begins with it.
 */
static void find_gap(int64_t *ret_gap, int64_t *ret_end)
{
	struct output_read r;

	*ret_gap = *ret_end = 0;
	if (log_.dropped_bytes == 0)
		return;
	r = read_log(0, OUTPUT_BOTH, 1024 * 1024);
	*ret_gap = r.dropped > 0 ? 0 : r.next_offset;
	*ret_end = *ret_gap + log_.dropped_bytes;
	output_read_fini(&r);
}

START_TEST(random_writes_and_offsets)
{
	struct output_read r;
	int64_t limit, gap, gap_end;
	size_t kept = 0;

	/* Each round is another one, and a seed that was told gives the same ones again. */
	srandom(seed + (unsigned)_i);
	limit = random() % (random() % 2 ? 300000 : 3000);
	open_log(limit);
	write_randomly(1000000);
	ck_assert_int_eq(log_.total_bytes, (int64_t)model.len);
	find_gap(&gap, &gap_end);
	ck_assert_int_le((int64_t)model.len - log_.dropped_bytes, limit);
	for (int i = 0; i < 60; i++) {
		unsigned streams = 1 + (unsigned)random() % 3;
		int64_t offset = random() % ((int64_t)model.len + 10);

		r = read_log(offset, streams, (size_t)random() % 100000);
		if (offset <= (int64_t)model.len)
			compare(&r, gap, gap_end);
		output_read_fini(&r);
	}
	/* Piece by piece from the start, as a follower reads. */
	r = (struct output_read){ .id = JOB, .attempt = 1, .streams = OUTPUT_BOTH };
	do {
		r.offset = r.next_offset;
		r.limit_bytes = 1 + (size_t)random() % 70000;
		ck_assert_int_eq(output_read(&r), 0);
		compare(&r, gap, gap_end);
		kept += r.len;
		output_read_fini(&r);
	} while (!r.is_at_end);
	ck_assert_int_eq(r.next_offset, (int64_t)model.len);
	ck_assert_uint_eq(kept, model.len - (size_t)log_.dropped_bytes);
}
END_TEST

START_TEST(the_dropped_middle_takes_no_space)
{
	cleanup_free char *path = jobdir_path(JOB, 1, "log");
	static unsigned char data[65536];
	struct stat st;

	open_log(1024 * 1024);
	for (int i = 0; i < 50 * 16; i++)
		write_log(OUTLOG_STDOUT, data, sizeof(data), i);
	ck_assert_int_eq(stat(path, &st), 0);
	if (log_.has_no_holes)
		return;
	ck_assert_int_ge(st.st_size, 50 * 1024 * 1024);
	ck_assert_int_le((int64_t)st.st_blocks * 512, 2 * 1024 * 1024);
	ck_assert_int_eq(log_.dropped_bytes, 49 * 1024 * 1024);
}
END_TEST

/* One byte at a time must not cost sixteen more each. */
START_TEST(small_writes_share_a_frame)
{
	struct output_read r;

	open_log(100000);
	for (int i = 0; i < 1000; i++)
		write_log(OUTLOG_STDOUT, "x", 1, 1000 + i / 100);
	ck_assert_uint_lt(log_.end, 64 + 1000 + 16 * 3);
	r = read_log(0, OUTPUT_BOTH, 4096);
	ck_assert_uint_eq(r.len, 1000);
	ck_assert_uint_eq(r.n_pieces, 1);
	output_read_fini(&r);
}
END_TEST

START_TEST(without_holes_the_rest_is_dropped)
{
	struct output_read r;

	open_log(1000);
	log_.has_no_holes = true;
	for (int i = 0; i < 100; i++)
		write_log(OUTLOG_STDOUT, "0123456789012345678901234567890123456789", 40, i * 1000);
	r = read_log(0, OUTPUT_BOTH, 10000);
	ck_assert_uint_ge(r.len, 1000);
	ck_assert_uint_le(r.len, 1100);
	compare(&r, (int64_t)r.len, 4000);
	output_read_fini(&r);
	r.offset = r.next_offset;
	ck_assert_int_eq(output_read(&r), 0);
	ck_assert_int_eq(r.next_offset, 4000);
	ck_assert_int_eq(r.dropped, log_.dropped_bytes);
	output_read_fini(&r);
}
END_TEST

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	/* No ck_assert here: Check keeps its notes in a file as well. */
	(void)!setrlimit(RLIMIT_FSIZE, &limit);
}

/* A disk that is full for a while: a file that may not grow fails in the same places. */
START_TEST(full_disk_drops_and_goes_on)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct output_read r;

	sigaction(SIGXFSZ, &ignore, NULL);
	open_log(100000);
	write_log(OUTLOG_STDOUT, "before", 6, 1);
	set_file_limit(log_.end + 20);
	for (int i = 0; i < 10; i++)
		write_log(OUTLOG_STDOUT, "this does not fit on the disk any more", 38, 1000 * i);
	set_file_limit(RLIM_INFINITY);
	ck_assert_int_eq(log_.dropped_bytes, 380);
	r = read_log(0, OUTPUT_BOTH, 1000);
	ck_assert_int_eq(r.next_offset, 6);
	output_read_fini(&r);
	r.offset = r.next_offset;
	ck_assert_int_eq(output_read(&r), 0);
	ck_assert_int_eq(r.next_offset, 386);
	ck_assert_int_eq(r.dropped, 380);
	ck_assert(r.is_at_end);
	output_read_fini(&r);

	/* A follower that stood there goes on where there is space again. */
	write_log(OUTLOG_STDERR, "after", 5, 100000);
	r.offset = r.next_offset;
	ck_assert_int_eq(output_read(&r), 0);
	compare(&r, 6, 386);
	ck_assert_uint_eq(r.len, 5);
	output_read_fini(&r);
	r = read_log(6, OUTPUT_BOTH, 1000);
	ck_assert_uint_eq(r.len, 5);
	compare(&r, 6, 386);
	output_read_fini(&r);
}
END_TEST

/* A frame that was to grow on a full disk keeps its true length. */
START_TEST(full_disk_while_growing)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct output_read r;

	sigaction(SIGXFSZ, &ignore, NULL);
	open_log(100000);
	write_log(OUTLOG_STDOUT, "before", 6, 1);
	set_file_limit(log_.end + 2);
	write_log(OUTLOG_STDOUT, "grows", 5, 2);
	set_file_limit(RLIM_INFINITY);
	write_log(OUTLOG_STDOUT, "after", 5, 3);
	r = read_log(6, OUTPUT_BOTH, 1000);
	ck_assert_int_eq(r.next_offset, 16);
	ck_assert_int_eq(r.dropped, 5);
	compare(&r, 6, 11);
	output_read_fini(&r);
}
END_TEST

static unsigned char pattern(int64_t offset)
{
	return (unsigned char)(offset * 131 + (offset >> 8) * 17);
}

static void flood(void)
{
	static unsigned char data[65536];
	int64_t offset = 0;

	open_log(512 * 1024);
	while (offset < INT64_C(100) * 1024 * 1024) {
		size_t n = 1 + (size_t)random() % sizeof(data);

		for (size_t i = 0; i < n; i++)
			data[i] = pattern(offset + (int64_t)i);
		outlog_add(&log_, OUTLOG_STDOUT, data, n, (struct wall){ offset / 50000 });
		offset += (int64_t)n;
	}
	outlog_close(&log_);
	_exit(0);
}

/*
 * The tail falls out under the reader's feet all the while: what it hands out
 * is the truth or counted as dropped, never a hole's zeros.
 */
START_TEST(reader_beside_a_flood)
{
	struct output_read r = { .id = JOB, .attempt = 1, .streams = OUTPUT_BOTH };
	bool is_over = false;
	pid_t pid = fork();
	int64_t checked = 0;

	if (pid == 0)
		flood();
	for (;;) {
		r.offset = r.next_offset;
		r.limit_bytes = 1 + (size_t)random() % 262144;
		ck_assert_int_eq(output_read(&r), 0);
		ck_assert_int_eq(r.next_offset, r.offset + (int64_t)r.len + r.dropped);
		for (size_t i = 0; i < r.len; i++)
			if ((unsigned char)r.data[i] != pattern(r.offset + r.dropped + (int64_t)i))
				ck_abort_msg("wrong byte at %" PRId64, r.offset + (int64_t)i);
		checked += (int64_t)r.len;
		output_read_fini(&r);
		if (is_over && r.is_at_end)
			break;
		if (!is_over && waitpid(pid, NULL, WNOHANG) == pid)
			is_over = true;
	}
	ck_assert_int_ge(r.next_offset, INT64_C(100) * 1024 * 1024);
	ck_assert_int_gt(checked, 0);
}
END_TEST

START_TEST(damaged_logs_are_errors)
{
	struct output_read r = {
		.id = JOB, .attempt = 1, .streams = OUTPUT_BOTH, .limit_bytes = 4096
	};
	cleanup_free char *path = jobdir_path(JOB, 1, "log");
	unsigned char file[512];
	ssize_t n;
	int fd;

	open_log(1000);
	write_log(OUTLOG_STDOUT, "hello world, this is some output", 32, 1);
	write_log(OUTLOG_STDERR, "and an error", 12, 2);
	outlog_close(&log_);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = pread(fd, file, sizeof(file), 0);
	ck_assert_int_gt(n, 0);
	/* Every byte in turn: an answer or an error, never more. */
	for (ssize_t i = 0; i < n; i++) {
		unsigned char bad = file[i] ^ (unsigned char)(1 + random() % 255);
		int result;

		ck_assert_int_eq(pwrite(fd, &bad, 1, i), 1);
		r.file_at = r.file_offset = 0;
		result = output_read(&r);
		ck_assert(result == 0 || result == -EBADMSG);
		if (result == 0)
			ck_assert_uint_le(r.len, 4096);
		output_read_fini(&r);
		ck_assert_int_eq(pwrite(fd, &file[i], 1, i), 1);
	}
	/* Cut off anywhere: what is there is there. */
	while (n-- > 0) {
		ck_assert_int_eq(ftruncate(fd, n), 0);
		r.file_at = r.file_offset = 0;
		ck_assert_int_eq(output_read(&r), 0);
		ck_assert(r.is_at_end);
		output_read_fini(&r);
	}
	close(fd);
}
END_TEST

START_TEST(bodies_are_raw)
{
	cleanup_free char *path = jobdir_path(JOB, 1, "body");
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct output_read r;

	ck_assert_int_eq(write(fd, "0123456789", 10), 10);
	close(fd);
	r = read_log(3, OUTPUT_BOTH, 4);
	ck_assert_int_eq(memcmp(r.data, "3456", 4), 0);
	ck_assert_int_eq(r.next_offset, 7);
	ck_assert(!r.is_at_end);
	output_read_fini(&r);
	r = read_log(7, OUTPUT_STDOUT, 400);
	ck_assert_uint_eq(r.len, 3);
	ck_assert(r.is_at_end);
	output_read_fini(&r);
	r = read_log(0, OUTPUT_STDERR, 400);
	ck_assert_uint_eq(r.len, 0);
	ck_assert(r.is_at_end);
	output_read_fini(&r);
}
END_TEST

START_TEST(folders_come_and_go)
{
	struct stat st;
	char path[128];

	ck_assert_int_eq(jobdir_make(12345678), 0);
	ck_assert_int_eq(jobdir_make(12345678), 0);
	snprintf(path, sizeof(path), "%s/output/12345/12345678", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(jobdir_remove(12345678), 0);
	ck_assert_int_eq(jobdir_remove(12345678), 0);
	snprintf(path, sizeof(path), "%s/output/12345", dir);
	ck_assert_int_lt(stat(path, &st), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("outlog");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, everything_is_kept_up_to_the_limit);
	tcase_add_test(t, no_output_is_an_empty_answer);
	tcase_add_test(t, the_first_byte_makes_file_and_folders);
	tcase_add_test(t, without_a_place_all_is_dropped);
	tcase_add_test(t, nothing_kept_at_limit_zero);
	tcase_add_loop_test(t, random_writes_and_offsets, 0, 20);
	tcase_add_test(t, the_dropped_middle_takes_no_space);
	tcase_add_test(t, small_writes_share_a_frame);
	tcase_add_test(t, without_holes_the_rest_is_dropped);
	tcase_add_test(t, full_disk_drops_and_goes_on);
	tcase_add_test(t, full_disk_while_growing);
	tcase_add_test(t, reader_beside_a_flood);
	tcase_add_test(t, damaged_logs_are_errors);
	tcase_add_test(t, bodies_are_raw);
	tcase_add_test(t, folders_come_and_go);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
