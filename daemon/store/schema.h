/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_STORE_SCHEMA_H
#define DAEMON_STORE_SCHEMA_H

#include <stdint.h>

#include <sqlite3.h>

/* "awtd": tells our files from all other SQLite databases. */
#define SCHEMA_APPLICATION_ID 0x61777464

/*
 * The shape of the database, as the steps that lead to it: steps[v] takes a
 * file of version v to v + 1, steps[0] starts from nothing.  A new file goes
 * through the same steps as an old one, so that both end up equal.  A step
 * that was released is never edited.
 */
struct schema {
	int version;
	const char *const *steps; /* @version of them */
};
extern const struct schema schema_current;

/*
 * Take the open database from version @from to schema->version in one
 * transaction, user_version included.  Returns an SQLite code; after an error
 * the file is as before.
 */
int schema_migrate(sqlite3 *db, const struct schema *schema, int64_t from);

#endif
