/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jobrefs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xalloc.h"
#include "tests/unit/jobdoc_fixture.h"

/* ---- what is one ---- */

START_TEST(matches)
{
	/* The matches of a text, each as "name|pointer" or "$", with blanks between. */
	static const struct {
		const char *text, *found;
	} cases[] = {
		{ "", "" },
		{ "$", "" },
		{ "${", "" },
		{ "${}", "" },
		{ "${a}", "" },
		{ "${a:", "" },
		{ "${a:/", "" },
		{ "${a:x}", "" },
		{ "${a:-x}", "" },
		{ "${a:=/x}", "" },
		{ "${a:0:3}", "" },
		{ "${:/x}", "" },
		{ "${:}", "" },
		{ "$ {a:/x}", "" },
		{ "$a:/x}", "" },
		{ "{a:/x}", "" },
		{ "${a\n:/x}", "" },
		{ "${a:}", "a|" },
		{ "${a:/}", "a|/" },
		{ "${a:/x/0/~1~0}", "a|/x/0/~1~0" },
		{ "${a b-\xc3\xa4:/x}", "a b-\xc3\xa4|/x" },
		{ "${a:b:/x}", "a:b|/x" },
		{ "${a::/x}", "a:|/x" },
		{ "${a/b:/x}", "a/b|/x" },
		{ "${7:/x:y{z}", "7|/x:y{z" },
		{ "x${a:}y${b:/c}z", "a| b|/c" },
		{ "${a:}}", "a|" },
		{ "${HOME}${a:/x}${b}", "a|/x" },
		{ "${x:-${a:/x}}", "a|/x" },
		{ "$${a:/x}", "$" },
		{ "$${", "$" },
		{ "$$${a:/x}", "$" },
		{ "$${${a:/x}", "$ a|/x" },
		{ "$${a$${b", "$ $" },
		{ "$$", "" },
		{ "${a:/x", "" },
		{ "${a:/x ${b:/y}", "a|/x ${b:/y" },
	};

	for (int i = 0; i < N_OF(cases); i++) {
		const char *text = cases[i].text, *end = text + strlen(text);
		struct jobrefs_match m;
		struct buf b = { 0 };

		while (jobrefs_find(text, (size_t)(end - text), &m)) {
			if (b.len)
				buf_addc(&b, ' ');
			if (m.is_escape)
				buf_addc(&b, '$');
			else
				buf_addf(&b, "%.*s|%.*s", (int)m.name_len, m.name,
					 (int)m.pointer_len, m.pointer);
			ck_assert(m.text >= text && m.text + m.len <= end);
			text = m.text + m.len;
		}
		ck_assert_msg(strcmp(buf_terminate(&b), cases[i].found) == 0, "%s: %s",
			      cases[i].text, b.data);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(names_have_a_length)
{
	for (size_t len = JOB_NAME_MAX_BYTES; len <= JOB_NAME_MAX_BYTES + 1; len++) {
		struct jobrefs_match m;
		struct buf b = { 0 };

		buf_adds(&b, "${");
		for (size_t i = 0; i < len; i++)
			buf_addc(&b, 'n');
		buf_adds(&b, ":}");
		ck_assert_int_eq(jobrefs_find(b.data, b.len, &m), len == JOB_NAME_MAX_BYTES);
		buf_fini(&b);
	}
}
END_TEST

START_TEST(pointers_have_a_length)
{
	for (size_t len = JOB_POINTER_MAX_BYTES; len <= JOB_POINTER_MAX_BYTES + 1; len++) {
		struct jobrefs_match m;
		struct buf b = { 0 };

		buf_adds(&b, "${n:");
		for (size_t i = 0; i < len; i++)
			buf_addc(&b, '/');
		buf_addc(&b, '}');
		ck_assert_int_eq(jobrefs_find(b.data, b.len, &m), len == JOB_POINTER_MAX_BYTES);
		buf_fini(&b);
	}
}
END_TEST

/* A line full of beginnings: seconds, if each were followed to the end of the text. */
START_TEST(unclosed_ones_cost_little)
{
	struct jobrefs_match m;
	struct buf b = { 0 };
	const char *at, *end;

	for (int i = 0; i < 100000; i++)
		buf_adds(&b, "$${${a:/");
	end = b.data + b.len;
	for (at = b.data; jobrefs_find(at, (size_t)(end - at), &m); at = m.text + m.len)
		ck_assert(m.is_escape);
	buf_fini(&b);
}
END_TEST

START_TEST(ids_and_pointers)
{
	static const struct {
		const char *name;
		bool is_id;
		int64_t id;
	} names[] = {
		{ "", false, 0 },
		{ "a", false, 0 },
		{ "1a", false, 0 },
		{ "-1", false, 0 },
		{ "@1", false, 0 },
		{ "1", true, 1 },
		{ "0", true, 0 },
		{ "01", true, 0 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "9223372036854775808", true, 0 },
		{ "99999999999999999999999", true, 0 },
	};
	static const char *const pointers[] = { "", "/", "/a", "/~0~1", "//" };
	static const char *const others[] = { "a", "/~", "/~2", "/a~/b" };

	for (int i = 0; i < N_OF(names); i++) {
		int64_t id = 0;

		ck_assert_int_eq(jobrefs_is_id(names[i].name, strlen(names[i].name), &id),
				 names[i].is_id);
		ck_assert_msg(id == names[i].id, "%s: %lld", names[i].name, (long long)id);
	}
	for (int i = 0; i < N_OF(pointers); i++)
		ck_assert(jobrefs_is_pointer(pointers[i], strlen(pointers[i])));
	for (int i = 0; i < N_OF(others); i++)
		ck_assert(!jobrefs_is_pointer(others[i], strlen(others[i])));
}
END_TEST

/* ---- replacing ---- */

/* The "value" of a timer, resolved with @results: its text, or "!" with *err filled. */
static char *resolved(const char *value, json_t *results, struct aw_err *err)
{
	struct jobrefs_source source = { look_up, results };
	json_t *spec = json_pack("{s:s, s:o}", "kind", "timer", "value", json_of(value));
	json_t *out = jobrefs_resolve(JOB_TIMER, spec, &source, err);
	struct buf b = { 0 };

	if (out)
		buf_add_json(&b, json_object_get(out, "value"));
	else
		buf_addc(&b, '!');
	json_decref(spec);
	json_decref(out);
	return buf_steal(&b, NULL);
}

#define RESULTS                                                                 \
	"{\"a\":{\"s\":\"te\\\"xt\",\"n\":1.50,\"i\":-7,\"t\":true,\"z\":null," \
	"\"l\":[10,[20,21],{\"k\":\"v\"}],\"o\":{\"x\":1},\"\":\"empty\","      \
	"\"a/b\":\"slash\",\"m~n\":\"tilde\",\"~1\":\"both\",\"01\":\"name\"}," \
	"\"text\":\"whole\",\"null\":null,\"list\":[1,2],\"\xc3\xa4 b\":\"umlaut\"}"

START_TEST(values)
{
	static const struct {
		const char *value, *text;
	} cases[] = {
		{ "\"${a:/s}\"", "\"te\\\"xt\"" },
		{ "\"${a:/n}\"", "1.5" },
		{ "\"${a:/i}\"", "-7" },
		{ "\"${a:/t}\"", "true" },
		{ "\"${a:/z}\"", "null" },
		{ "\"${a:/o}\"", "{\"x\":1}" },
		{ "\"${a:/l}\"", "[10,[20,21],{\"k\":\"v\"}]" },
		{ "\"${a:/l/0}\"", "10" },
		{ "\"${a:/l/1/1}\"", "21" },
		{ "\"${a:/l/2/k}\"", "\"v\"" },
		{ "\"${a:/}\"", "\"empty\"" },
		{ "\"${a:/a~1b}\"", "\"slash\"" },
		{ "\"${a:/m~0n}\"", "\"tilde\"" },
		{ "\"${a:/~01}\"", "\"both\"" },
		{ "\"${a:/01}\"", "\"name\"" },
		{ "\"${text:}\"", "\"whole\"" },
		{ "\"${null:}\"", "null" },
		{ "\"${list:}\"", "[1,2]" },
		{ "\"${list:/1}\"", "2" },
		{ "\"${\xc3\xa4 b:}\"", "\"umlaut\"" },
		{ "\" ${a:/s}\"", "\" te\\\"xt\"" },
		{ "\"${a:/n}${a:/i}${a:/t}${a:/z}\"", "\"1.5-7truenull\"" },
		{ "\"<${a:/l}>\"", "\"<[10,[20,21],{\\\"k\\\":\\\"v\\\"}]>\"" },
		{ "[\"${a:/i}\",{\"${a:/i}\":\"${a:/t}\"},\"${HOME}\",5]",
		  "[-7,{\"${a:/i}\":true},\"${HOME}\",5]" },
		{ "\"$${a:/s}\"", "\"${a:/s}\"" },
		{ "\"$${\"", "\"${\"" },
		{ "\"$$${$$\"", "\"$${$$\"" },
		{ "\"$${${a:/i}}\"", "\"${-7}\"" },
		{ "\"\"", "\"\"" },
		{ "{}", "{}" },
	};
	json_t *results = json_of(RESULTS);

	for (int i = 0; i < N_OF(cases); i++) {
		struct aw_err err = { 0 };
		char *text = resolved(cases[i].value, results, &err);

		ck_assert_msg(strcmp(text, cases[i].text) == 0, "%s: %s %s", cases[i].value, text,
			      err.message);
		free(text);
	}
	json_decref(results);
}
END_TEST

START_TEST(nothing_there)
{
	static const struct {
		const char *value, *reference, *pointer;
	} cases[] = {
		{ "\"${b:/x}\"", "${b:/x}", "/value" },
		{ "[\"\",\"x${b:}\"]", "${b:}", "/value/1" },
		{ "{\"k/l\":[\"${a:/nothing}\"]}", "${a:/nothing}", "/value/k~1l/0" },
		{ "\"${a:/s/0}\"", "${a:/s/0}", "/value" },
		{ "\"${a:/z/0}\"", "${a:/z/0}", "/value" },
		{ "\"${a:/l/3}\"", "${a:/l/3}", "/value" },
		{ "\"${a:/l/-}\"", "${a:/l/-}", "/value" },
		{ "\"${a:/l/00}\"", "${a:/l/00}", "/value" },
		{ "\"${a:/l/-1}\"", "${a:/l/-1}", "/value" },
		{ "\"${a:/l/}\"", "${a:/l/}", "/value" },
		{ "\"${a:/l/4294967296}\"", "${a:/l/4294967296}", "/value" },
		{ "\"${a:/l/99999999999999999999}\"", "${a:/l/99999999999999999999}", "/value" },
		{ "\"${a:/l/k}\"", "${a:/l/k}", "/value" },
		{ "\"${a:/s}${a:/o/y}\"", "${a:/o/y}", "/value" },
		{ "\"${text:/}\"", "${text:/}", "/value" },
		{ "\"${ a:/s}\"", "${ a:/s}", "/value" },
	};
	json_t *results = json_of(RESULTS);

	for (int i = 0; i < N_OF(cases); i++) {
		struct aw_err err = { 0 };
		char *text = resolved(cases[i].value, results, &err);

		ck_assert_msg(strcmp(text, "!") == 0, "%s: %s", cases[i].value, text);
		ck_assert_int_eq(err.code, AW_NEEDS);
		ck_assert_str_eq(err.path, cases[i].pointer);
		ck_assert_str_eq(json_string_value(json_object_get(err.facts, "pointer")),
				 cases[i].pointer);
		ck_assert_str_eq(json_string_value(json_object_get(err.facts, "reference")),
				 cases[i].reference);
		free(text);
		aw_err_fini(&err);
	}
	json_decref(results);
}
END_TEST

/* Only where the table says so, and never in parts. */
START_TEST(only_some_keys)
{
	json_t *spec = json_of("{\"kind\":\"gather\",\"name\":\"${a:/i}\",\"timeout\":\"${a:/i}\","
			       "\"grace\":\"$${\",\"limit\":\"${a:/i}\",\"sleep\":\"${a:/i}\","
			       "\"jobs\":[{\"kind\":\"timer\",\"sleep\":\"${a:/i}\"}]}");
	json_t *results = json_of(RESULTS), *out;
	struct jobrefs_source source = { look_up, results };
	struct aw_err err = { 0 };
	char *text;

	out = jobrefs_resolve(JOB_GATHER, spec, &source, &err);
	text = json_dumps(out, JSON_COMPACT);
	ck_assert_str_eq(text, "{\"kind\":\"gather\",\"name\":\"${a:/i}\",\"timeout\":-7,"
			       "\"grace\":\"${\",\"limit\":-7,\"sleep\":\"${a:/i}\","
			       "\"jobs\":[{\"kind\":\"timer\",\"sleep\":\"${a:/i}\"}]}");
	free(text);
	json_decref(out);
	json_decref(spec);
	json_decref(results);
}
END_TEST

/* ---- bounds ---- */

/* A chain in which each doubles the one before must end somewhere. */
START_TEST(results_are_bounded_in_size)
{
	static const char *const doublings[] = { "\"${a:}${a:}\"", "[\"${a:}\",\"${a:}\"]" };
	size_t len = 512 * 1024;
	char *half = malloc(len);

	memset(half, 'x', len);
	for (int i = 0; i < N_OF(doublings); i++)
		for (int more = 0; more < 2; more++) {
			/* With the quotes that its JSON text has. */
			json_t *results =
				json_pack("{s:o}", "a", json_stringn(half, len - 2 + (size_t)more));
			struct aw_err err = { 0 };
			char *text = resolved(doublings[i], results, &err);

			ck_assert_int_eq(strcmp(text, "!") == 0, more);
			if (more) {
				ck_assert_int_eq(err.code, AW_NEEDS);
				ck_assert_ptr_nonnull(strstr(err.message, "too large"));
			}
			free(text);
			aw_err_fini(&err);
			json_decref(results);
		}
	free(half);
}
END_TEST

START_TEST(results_are_bounded_in_depth)
{
	/* The document and its list are two levels. */
	for (int depth = PROTO_DEPTH_MAX - 2; depth <= PROTO_DEPTH_MAX - 1; depth++) {
		json_t *nest = json_integer(1), *results;
		struct aw_err err = { 0 };
		char *text;

		for (int i = 0; i < depth; i++)
			nest = i % 2 ? json_pack("[o]", nest) : json_pack("{s:o}", "k", nest);
		results = json_pack("{s:o}", "a", nest);
		text = resolved("[\"${a:}\"]", results, &err);
		ck_assert_int_eq(strcmp(text, "!") == 0, depth == PROTO_DEPTH_MAX - 1);
		free(text);
		aw_err_fini(&err);
		json_decref(results);
	}
}
END_TEST

START_TEST(a_nul_goes_through)
{
	json_t *results = json_pack("{s:o}", "a", json_stringn("x\0y", 3));
	json_t *spec = json_of("{\"kind\":\"timer\",\"value\":[\"${a:}\",\"-${a:}\"]}");
	struct jobrefs_source source = { look_up, results };
	struct aw_err err = { 0 };
	json_t *out = jobrefs_resolve(JOB_TIMER, spec, &source, &err), *value;

	value = json_object_get(out, "value");
	ck_assert_uint_eq(json_string_length(json_array_get(value, 0)), 3);
	ck_assert_uint_eq(json_string_length(json_array_get(value, 1)), 4);
	json_decref(out);
	json_decref(spec);
	json_decref(results);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("jobrefs");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, matches);
	tcase_add_test(tc, names_have_a_length);
	tcase_add_test(tc, ids_and_pointers);
	tcase_add_test(tc, values);
	tcase_add_test(tc, nothing_there);
	tcase_add_test(tc, only_some_keys);
	tcase_add_test(tc, results_are_bounded_in_size);
	tcase_add_test(tc, results_are_bounded_in_depth);
	tcase_add_test(tc, a_nul_goes_through);
	tcase_add_test(tc, pointers_have_a_length);
	tcase_add_test(tc, unclosed_ones_cost_little);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
