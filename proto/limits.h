/* SPDX-License-Identifier: MIT */
#ifndef PROTO_LIMITS_H
#define PROTO_LIMITS_H

/* Limits that both ends of the protocol know.  What a setting can change is in daemon/conf. */

#include <stdint.h>

#define PROTO_VERSION 1

#define PROTO_LINE_MAX_BYTES (1024 * 1024) /* a request line, its newline included */
#define PROTO_DEPTH_MAX 64
#define PROTO_VALUES_MAX 100000
#define PROTO_BATCH_MAX 1000   /* requests in one array */
#define PROTO_IDS_MAX 1000     /* ids in one call */
#define PROTO_ID_MAX_BYTES 128 /* a request's id, when it is a string */

#define JOB_NAME_MAX_BYTES 255 /* name, each tag, queue */
#define JOB_TAGS_MAX 64
#define JOB_KEY_MAX_BYTES 255
#define JOB_PRIORITY_MAX 1000
#define JOB_STRING_MAX_BYTES (128 * 1024) /* stdin, one of headers */
/* One of argv, or NAME=VALUE of env: what execve() takes (MAX_ARG_STRLEN), without its NUL. */
#define JOB_ARG_MAX_BYTES (128 * 1024 - 1)
#define JOB_DURATION_MAX_US (INT64_C(315576000) * 1000000) /* 10 years of 365.25 days: "10y" */
#define JOB_GRACE_MAX_US (INT64_C(3600) * 1000000)
#define JOB_DEPTH_MAX 16    /* compositions inside one another, the whole included */
#define JOB_PARTS_MAX 10000 /* of one composition */
#define JOB_NEEDS_MAX 1000
#define JOB_POINTER_MAX_BYTES 1024	    /* of a reference */
#define JOB_REFS_MAX 100000		    /* references to results, in a whole document */
#define JOB_RESULTS_MAX_BYTES (1024 * 1024) /* what references put into one job's document */
#define JOB_MEMBERS_MAX 4096		    /* of env, of headers */
#define JOB_VALUES_MAX 10000		    /* in value */
#define JOB_RETRIES_MAX 1000000
#define JOB_RETRY_FACTOR_MAX 100
#define JOB_RETRY_ON_MAX 64
#define JOB_REDIRECTS_MAX 100
#define JOB_FILES_MAX 1048576	/* open ones: fs.nr_open, unless somebody has changed it */
#define JOB_PATH_MAX_BYTES 4095 /* PATH_MAX without its NUL */
#define JOB_URL_MAX_BYTES 8192
#define JOB_SAVED_MAX_BYTES (64 * 1024)

#define QUEUE_LIMIT_MAX 100000
#define CANCEL_MESSAGE_MAX_BYTES 500

#define FILTER_MAX 100	    /* values of one key of a filter */
#define CONN_CALLS_MAX 1024 /* unanswered, of one connection; after that it is not read */
#define LIST_LIMIT_DEFAULT 100
#define LIST_LIMIT_MAX 1000
#define LIST_PAGE_MAX_BYTES (256 * 1024)
#define LIST_VALUE_MAX_BYTES (4 * 1024) /* a longer spec or result is not in lists and events */

#define OUTPUT_CHUNK_DEFAULT_BYTES (64 * 1024)
#define OUTPUT_CHUNK_MAX_BYTES (256 * 1024)

#endif
