/* SPDX-License-Identifier: MIT */
#ifndef PROTO_JOBKEYS_H
#define PROTO_JOBKEYS_H

#include "proto/names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The keys of a job document, in one table: the daemon checks and normalises
 * documents with it, the client makes its options, help and completions from
 * it.  A key is added here and nowhere else.
 */

enum jobkey_type {
	JK_STRING,   /* text; min/max in bytes (of each text, in JK_STRINGS and JK_MAP too) */
	JK_LABEL,    /* text without control characters, <= 255 bytes */
	JK_LABELS,   /* list of labels */
	JK_STRINGS,  /* list of text, at least one */
	JK_MAP,	     /* object of text */
	JK_INTEGER,  /* min ... max */
	JK_INTEGERS, /* list of integers, or one alone; min ... max each */
	JK_NUMBER,   /* min ... max, whole or not */
	JK_BOOL,
	JK_DURATION, /* min/max in microseconds */
	JK_TIME,
	JK_SIZE,     /* bytes */
	JK_MODE,     /* permissions: text of one to four octal digits, at most 0777 */
	JK_CHOICE,   /* one of .choices */
	JK_EXPECT,   /* [status or "200-299"], or one of them alone */
	JK_CHECKSUM, /* "sha256:<64 hex digits>" */
	JK_URL,	     /* http or https */
	JK_JSON,     /* anything */
	JK_NEEDS,    /* list of other jobs: id, "@N" or {"job", "on"} */
	JK_ERRORS,   /* list of error codes, "exit:N", "http:N", or one alone */
	JK_OBJECT,   /* an object with keys of its own: .members */
	JK_PARTS,    /* list of job documents */
	N_JOBKEY_TYPES
};

enum {
	JK_REQUIRED = 1 << 0,
	/* Values (of a map) are "***" to all but owner and root; of a URL the user part is. */
	JK_SECRET = 1 << 1,
	JK_NO_NUL = 1 << 2, /* no NUL character inside (execve, headers) */
	/* Strings in it may hold references to results; the others are needed before the start. */
	JK_REFS = 1 << 3,
	JK_PART = 1 << 4,  /* only a part of a composition has it */
	JK_WHOLE = 1 << 5, /* a part has none */
};

/* What a key asks for beyond its type. */
enum jobkey_rule {
	JK_RULE_NONE,
	JK_RULE_METHOD,	  /* an HTTP method */
	JK_RULE_ABSOLUTE, /* an absolute path */
	JK_RULE_ARGV,	  /* the first one names a program */
	JK_RULE_ENV,	  /* names that may be set in a worker's environment */
	JK_RULE_HEADERS,  /* HTTP field names and values */
	N_JOBKEY_RULES
};

/* What of struct jobdoc a key's value becomes: those that the engine wants at a glance. */
enum jobkey_field {
	JK_FIELD_NONE,
	JK_FIELD_NAME,
	JK_FIELD_TAGS,
	JK_FIELD_QUEUE,
	JK_FIELD_PRIORITY,
	JK_FIELD_DELAY,
	JK_FIELD_AT,
	JK_FIELD_NEEDS,
	JK_FIELD_TIMEOUT,
	JK_FIELD_DEADLINE,
	JK_FIELD_RETRY,
	JK_FIELD_ON_LOST,
	JK_FIELD_GRACE,
	JK_FIELD_SHIELD,
	JK_FIELD_KEY,
	JK_FIELD_KEEP,
	JK_FIELD_ON_FAILURE,
	JK_FIELD_LIMIT,
	N_JOBKEY_FIELDS
};

#define JK_KINDS(k) (1u << (k))
#define JK_LEAVES (JK_KINDS(JOB_TIMER) | JK_KINDS(JOB_FETCH) | JK_KINDS(JOB_WORKER))
#define JK_GROUPS (JK_KINDS(JOB_GATHER) | JK_KINDS(JOB_SEQUENCE) | JK_KINDS(JOB_RACE))
#define JK_ALL (JK_LEAVES | JK_GROUPS)

struct jobkey {
	const char *name;
	size_t name_len;
	enum jobkey_type type;
	unsigned kinds; /* JK_KINDS() of the kinds that have it */
	unsigned flags;
	int64_t min, max;
	const char *const *choices;   /* NULL-terminated, for JK_CHOICE */
	const struct jobkey *members; /* up to the one without a name, for JK_OBJECT */
	const char *metavar;	      /* for help: "DURATION"; NULL for JK_BOOL */
	const char *help;	      /* one line, lower case, no full stop */
	/*
	 * What holds when it is not given, as JSON in normal form.  NULL = nothing,
	 * a setting of the daemon, or what other keys say (jobdefaults.h).
	 */
	const char *otherwise;
	enum jobkey_rule rule;
	enum jobkey_field field;
};

/* For arrays that have one place for each key. */
#define JOBKEYS_MAX 64

/* In the order in which a normalised document has them. */
extern const struct jobkey jobkeys[];
extern const size_t n_jobkeys;

/* The key @name of whatever kind, or NULL.  @len is its length in bytes. */
const struct jobkey *jobkey_find_any(const char *name, size_t len);
/* The key @name of @kind, or NULL. */
const struct jobkey *jobkey_find(enum job_kind kind, const char *name);

#endif
