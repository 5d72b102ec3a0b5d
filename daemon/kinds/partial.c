/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/partial.h"

#include <string.h>

#include "proto/xalloc.h"

static char *text_of(const json_t *saved, const char *key)
{
	const char *text = json_string_value(json_object_get(saved, key));

	return text ? xstrdup(text) : NULL;
}

static int64_t number_of(const json_t *saved, const char *key)
{
	const json_t *value = json_object_get(saved, key);

	return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* It becomes a line of a request; whatever a damaged store says, it stays one. */
static bool is_clean(const char *text)
{
	while (*text >= 0x20 && *text <= 0x7e)
		text++;
	return !*text;
}

bool partial_load(const json_t *saved, struct partial *ret)
{
	*ret = (struct partial){
		.validator = text_of(saved, "validator"),
		.url = text_of(saved, "url"),
		.content_type = text_of(saved, "content_type"),
		.file = text_of(saved, "file"),
		.boot = text_of(saved, "boot"),
		.total_bytes = number_of(saved, "total"),
		.synced_bytes = number_of(saved, "synced"),
	};
	if (ret->validator && is_clean(ret->validator) && ret->url && ret->file && ret->boot &&
	    ret->synced_bytes >= 0 && ret->total_bytes >= -1)
		return true;
	partial_fini(ret);
	return false;
}

json_t *partial_dump(const struct partial *p)
{
	json_t *saved =
		json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "validator", p->validator, "url",
			  p->url, "file", p->file, "boot", p->boot, "total",
			  (json_int_t)p->total_bytes, "synced", (json_int_t)p->synced_bytes);

	if (!saved)
		xalloc_die();
	if (p->content_type)
		json_object_set_new(saved, "content_type", json_string(p->content_type));
	return saved;
}

void partial_fini(struct partial *p)
{
	free(p->validator);
	free(p->url);
	free(p->content_type);
	free(p->file);
	free(p->boot);
	*p = (struct partial){ .total_bytes = -1 };
}

/*
 * A daemon that was killed leaves a file that is whole as far as it goes: the
 * kernel has every byte.  After a crash of the machine that is not so; there may even be
 * zeros where bytes had been, so only those count of which it is known that
 * they were on the disk.
 */
static int64_t n_sure(const struct partial *p, const char *file, int64_t size_bytes,
		      const char *boot)
{
	bool is_same_boot = *boot && strcmp(p->boot, boot) == 0;
	int64_t n = is_same_boot ? size_bytes : p->synced_bytes;

	if (!*file || strcmp(p->file, file) != 0 || size_bytes < p->synced_bytes ||
	    (p->total_bytes >= 0 && n > p->total_bytes))
		return 0;
	/* No server sends a rest of no bytes, and only an answer says that it is the same. */
	return n > 0 && n == p->total_bytes ? n - 1 : n;
}

int64_t partial_use(struct partial *p, const char *file, int64_t size_bytes, const char *boot)
{
	int64_t n = n_sure(p, file, size_bytes, boot);

	free(p->boot);
	p->boot = xstrdup(boot);
	if (p->synced_bytes > n)
		p->synced_bytes = n;
	return n;
}
