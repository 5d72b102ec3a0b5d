/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/methods/methods.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/job/engine.h"
#include "proto/xalloc.h"

void reply_query(struct store_get *get, const int64_t *ids, size_t n, bool is_whole,
		 void (*done)(struct store_op *op))
{
	*get = (struct store_get){
		.op = { .type = STORE_GET, .done = done }, .ids = ids, .n = n, .is_brief = !is_whole
	};
	store_submit(engine_store(), &get->op);
}

bool reply_may_see(const struct store_job *rec, struct viewer viewer)
{
	return rec->id != 0 && viewer_may_see(viewer, rec->uid);
}

int reply_not_found(struct aw_err *err, int64_t id)
{
	/* The same for a job that is not there and one of somebody else (R4.4). */
	return aw_fail(err, AW_NOT_FOUND, "there is no job %" PRId64, id);
}

int reply_store_failed(struct aw_err *err, int result)
{
	if (result == -ENOSPC)
		return aw_fail(
			err, AW_STORAGE_FULL,
			"hardly any space is left on the disk of the state directory: make space, "
			"or remove jobs");
	return aw_fail(err, AW_INTERNAL, "the store could not do this: %s", strerror(-result));
}

void reply_add_jobs(struct buf *b, const struct store_job *recs, size_t n, struct viewer viewer)
{
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (!recs[i].id)
			continue;
		if (any)
			buf_addc(b, ',');
		any = true;
		engine_print_job(b, &recs[i], viewer, false);
	}
}

void reply_add_error(struct reply_errors *e, int64_t id, struct aw_err *err)
{
	json_t *object = aw_err_job_json(err);

	if (json_object_set_new(object, "id", json_integer(id)) < 0)
		xalloc_die();
	if (e->n++)
		buf_addc(&e->list, ',');
	else {
		e->first = *err;
		err->facts = NULL;
	}
	buf_add_json(&e->list, object);
	json_decref(object);
	aw_err_fini(err);
}

void reply_errors_fini(struct reply_errors *e)
{
	buf_fini(&e->list);
	aw_err_fini(&e->first);
}

void reply_finish_each(struct rpc_call *call, const struct store_job *recs, size_t n,
		       struct reply_errors *e)
{
	struct buf b = { 0 };
	size_t n_there = 0;

	for (size_t i = 0; i < n; i++)
		n_there += recs[i].id != 0;
	if (!n_there && e->n) {
		rpc_finish_fail(call, &e->first);
		return;
	}
	buf_adds(&b, "{\"jobs\":[");
	reply_add_jobs(&b, recs, n, rpc_viewer(call));
	buf_adds(&b, "],\"errors\":[");
	buf_add(&b, e->list.data, e->list.len);
	buf_adds(&b, "]}");
	rpc_finish_text(call, b.data, b.len);
	buf_fini(&b);
}
