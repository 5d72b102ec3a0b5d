/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/job/engine.h"
#include "daemon/log.h"
#include "daemon/rpc/methods/methods.h"
#include "proto/xalloc.h"

/*
 * daemon.backup: a helper thread looks at the place, the store copies, a
 * helper thread brings the copy to disk and gives it its name.
 */

struct making {
	struct rpc_call *call;
	char *path;	 /* owns */
	char *state_dir; /* owns; a reload frees the settings, whose thread is the loop's */
	bool overwrite;
	struct offload offload;
	int result;
	struct aw_err err;
	struct store_backup backup;
};

/* One at a time: two would write to the same part, and one is work enough. */
static bool is_making;

static void answer(struct making *m)
{
	if (m->result < 0) {
		log_warning("no backup: %s", m->err.message);
		rpc_finish_fail(m->call, &m->err);
	} else {
		log_info("backup: %s, %" PRId64 " bytes", m->backup.path, m->backup.n_bytes);
		rpc_finish(m->call,
			   xjson(json_pack("{s:I}", "bytes", (json_int_t)m->backup.n_bytes)));
	}
	is_making = false;
	aw_err_fini(&m->err);
	store_backup_fini(&m->backup);
	free(m->path);
	free(m->state_dir);
	free(m);
}

static void publish(struct offload *o)
{
	struct making *m = container_of(o, struct making, offload);

	m->result = store_backup_publish(&m->backup, &m->err);
}

static void on_published(struct offload *o)
{
	answer(container_of(o, struct making, offload));
}

static void on_copied(struct store_op *op)
{
	struct making *m = container_of(op, struct making, backup.op);

	if (op->result == -ECANCELED) {
		/* The daemon stops, and the helper threads are gone already. */
		publish(&m->offload);
		answer(m);
		return;
	}
	m->offload = (struct offload){ .work = publish, .done = on_published };
	offload_submit(&m->offload);
}

static void prepare(struct offload *o)
{
	struct making *m = container_of(o, struct making, offload);

	m->result = store_backup_prepare(&m->backup, m->state_dir, m->path, m->overwrite, &m->err);
}

static void on_prepared(struct offload *o)
{
	struct making *m = container_of(o, struct making, offload);

	if (m->result < 0) {
		answer(m);
		return;
	}
	m->backup.op = (struct store_op){ .type = STORE_BACKUP, .done = on_copied };
	store_submit(engine_store(), &m->backup.op);
}

static int check(const char *path, struct aw_err *err)
{
	if (*path != '/' || strlen(path) >= PATH_MAX)
		return aw_fail_at(err, AW_PARAMS, "/path",
				  "must be an absolute path of less than %d bytes", PATH_MAX);
	if (is_making)
		return aw_fail(err, AW_LIMIT,
			       "a backup is being made already; ask again when it is done");
	return 0;
}

static struct rpc_done backup(struct rpc_call *call, json_t *params)
{
	const char *path = json_string_value(json_object_get(params, "path"));
	struct aw_err err = { 0 };
	struct making *m;

	if (check(path, &err) < 0) {
		struct rpc_done done = rpc_fail(call, &err);

		aw_err_fini(&err);
		return done;
	}
	is_making = true;
	m = xcalloc(1, sizeof(*m));
	m->call = call;
	m->path = xstrdup(path);
	m->state_dir = xstrdup(conf->state_dir);
	m->overwrite = json_is_true(json_object_get(params, "overwrite"));
	m->offload = (struct offload){ .work = prepare, .done = on_prepared };
	offload_submit(&m->offload);
	return rpc_later(call, NULL, NULL);
}

static const struct rpc_param backup_params[] = {
	{ "path", RPC_STRING, RPC_REQUIRED, 0, 0, "where the copy is to stand, absolute" },
	{ "overwrite", RPC_BOOL, RPC_NULLABLE, 0, 0, "a file that is there may be replaced" },
	{ 0 },
};

const struct rpc_method method_daemon_backup = {
	.name = "daemon.backup",
	.summary = "write a copy of all stored jobs while the daemon runs",
	.params = backup_params,
	.flags = RPC_ROOT_OR_SELF,
	.handler = backup,
};
