/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_RECORD_H
#define DAEMON_STORE_RECORD_H

#include "daemon/store/store_int.h"

/*
 * Whole records: a job's row and what belongs to it.  Each function gives an
 * SQLite code; rows_job_fini() is due whatever it is.
 */

/*
 * From the current row of a statement with ROWS_JOB_COLUMNS.  @is_brief: of a
 * document or result that is longer than LIST_VALUE_MAX_BYTES only what is
 * told of it in lists.
 */
int record_read(struct store *s, sqlite3_stmt *row, bool is_brief, struct store_job *ret);
/* By id; one that is not there is left with id 0. */
int record_get(struct store *s, int64_t id, bool is_brief, struct store_job *ret);
int record_add_attempts(struct store *s, struct store_job *job);
/* About how long it is when it is told. */
size_t record_bytes(const struct store_job *job);

/* The document of @id: *ret is NULL when it has none, which only damage does. */
int record_spec(struct store *s, int64_t id, char **ret, size_t *ret_len);
/* The latest attempt of composition @id that made parts, 0 = it has none yet. */
int record_last_run(struct store *s, int64_t id, int64_t *ret);

#endif
