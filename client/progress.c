/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "client/jobprint.h"
#include "client/out.h"
#include "proto/units.h"

enum { BAR_MAX = 30 };

static double number_of(const json_t *progress, const char *key)
{
	return json_number_value(json_object_get(progress, key));
}

static void add_bar(struct buf *b, double share, size_t width)
{
	size_t n = (size_t)(share * (double)width);

	buf_addc(b, '[');
	for (size_t i = 0; i < width; i++)
		buf_addc(b, i < n ? '=' : i == n ? '>' : ' ');
	buf_adds(b, "] ");
}

/* "12.3 MiB of 27 MiB, 3.1 MiB/s, 5s left" */
static void add_numbers(struct buf *b, double done, double total, double rate)
{
	size_format((int64_t)done, b);
	if (total > 0) {
		buf_adds(b, " of ");
		size_format((int64_t)total, b);
	}
	if (rate >= 1 && rate < 1e15) {
		buf_adds(b, ", ");
		size_format((int64_t)rate, b);
		buf_adds(b, "/s");
	}
	if (rate >= 1 && total > done && (total - done) / rate < 1e8) {
		buf_adds(b, ", ");
		span_add(b, ((int64_t)((total - done) / rate) + 1) * 1000000);
		buf_adds(b, " left");
	}
}

void progress_line(struct buf *b, const json_t *job, size_t width)
{
	const json_t *progress = json_object_get(job, "progress");
	double done = number_of(progress, "done");
	double total = number_of(progress, "total");
	double share = total > 0 ? done / total : 0;
	struct buf numbers = { 0 };

	if (!json_is_object(progress)) {
		buf_addf(b, "job %lld ", (long long)job_id(job));
		job_add_state(b, job);
		out_cut(buf_terminate(b), width);
		buf_fini(&numbers);
		return;
	}
	share = share < 0 ? 0 : share > 1 ? 1 : share;
	add_numbers(&numbers, done, total, number_of(progress, "rate"));
	if (total > 0) {
		size_t room = width > numbers.len + 12 ? width - numbers.len - 12 : 0;

		buf_addf(b, "%3d%% ", (int)(share * 100));
		if (room >= 5)
			add_bar(b, share, room < BAR_MAX ? room : BAR_MAX);
	}
	buf_add(b, numbers.data, numbers.len);
	out_cut(buf_terminate(b), width);
	buf_fini(&numbers);
}

void progress_draw(struct progress *p, const json_t *job)
{
	struct buf b = { 0 };

	progress_line(&b, job, out_width(STDERR_FILENO) - 1);
	fprintf(stderr, "\r%s\033[K", b.data);
	fflush(stderr);
	p->is_drawn = true;
	buf_fini(&b);
}

void progress_clear(struct progress *p)
{
	if (p->is_drawn)
		fputs("\r\033[K", stderr);
	p->is_drawn = false;
}
