/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/buf.h"
#include "proto/xalloc.h"
#include "tests/fuzz/fuzz.h"

/*
 * The main() of a harness without libFuzzer: give it files or folders of
 * them, or nothing for the corpus in the source tree that is called like the
 * harness.  A file NAME.hex (found.py) has an input in each line.
 */

static size_t n_inputs;

/* In a piece of memory of just that size, whose end an analyser watches. */
static void replay_input(const char *data, size_t len)
{
	char *input = xmalloc(len + !len);

	if (len)
		memcpy(input, data, len);
	LLVMFuzzerTestOneInput((const uint8_t *)input, len);
	free(input);
	n_inputs++;
}

static unsigned digit_of(char c)
{
	return c >= 'a' ? (unsigned)(c - 'a') + 10 : (unsigned)(c - '0');
}

/* Each line, turned into bytes where it stands. */
static void replay_lines(const char *path, struct buf *b)
{
	char *at = b->data, *end = b->data + b->len;

	for (int number = 1; at < end; number++) {
		char *nl = memchr(at, '\n', (size_t)(end - at)), *to = at;

		for (char *hex = at; nl && hex + 1 < nl; hex += 2)
			*to++ = (char)(digit_of(hex[0]) << 4 | digit_of(hex[1]));
		/* Left behind when it crashes. */
		printf("%s:%d\n", path, number);
		fflush(stdout);
		replay_input(at, (size_t)(to - at));
		at = nl ? nl + 1 : end;
	}
}

static void replay_file(const char *path)
{
	const char *dot = strrchr(path, '.');
	FILE *f = fopen(path, "re");
	struct buf b = { 0 };
	size_t n;

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	do {
		buf_reserve(&b, 65536);
		n = fread(b.data + b.len, 1, 65536, f);
		b.len += n;
	} while (n > 0);
	fclose(f);
	if (dot && strcmp(dot, ".hex") == 0) {
		replay_lines(path, &b);
	} else {
		printf("%s\n", path);
		fflush(stdout);
		replay_input(b.data, b.len);
	}
	buf_fini(&b);
}

static void replay(const char *path)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	dir = opendir(path);
	if (!dir) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	while ((entry = readdir(dir))) {
		cleanup_free char *inner = xasprintf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.')
			replay(inner);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("AWAITD_SRCDIR"), *name = strrchr(argv[0], '/');
	cleanup_free char *corpus = xasprintf("%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".",
					      name ? name + 1 : argv[0]);

	if (argc < 2)
		replay(corpus);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%zu inputs\n", n_inputs);
	return n_inputs ? EXIT_SUCCESS : EXIT_FAILURE;
}
