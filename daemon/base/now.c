/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/now.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_S INT64_C(1000000000)
#define BOOT_ID_LEN 36

static struct {
	bool is_on;
	struct mono mono;
	struct boot boot;
	int64_t wall_ns; /* finer than struct wall, so that small steps add up */
} fake;

static int64_t read_clock_ns(clockid_t id)
{
	struct timespec ts;
	int r = clock_gettime(id, &ts);

	assert(r == 0);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

struct mono now_mono(void)
{
	if (__builtin_expect(fake.is_on, 0))
		return fake.mono;
	return (struct mono){ read_clock_ns(CLOCK_MONOTONIC) };
}

struct timespec now_timespec_in_ms(int ms)
{
	int64_t ns = read_clock_ns(CLOCK_MONOTONIC) + ms * INT64_C(1000000);

	return (struct timespec){ .tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S };
}

struct boot now_boot(void)
{
	if (__builtin_expect(fake.is_on, 0))
		return fake.boot;
	return (struct boot){ read_clock_ns(CLOCK_BOOTTIME) };
}

struct wall now_wall(void)
{
	int64_t ns = fake.is_on ? fake.wall_ns : read_clock_ns(CLOCK_REALTIME);

	return (struct wall){ ns / 1000000 };
}

struct instant now_instant(void)
{
	return (struct instant){ .wall = now_wall(), .boot = now_boot() };
}

static char boot_id[BOOT_ID_LEN + 1];

static void read_boot_id(void)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, boot_id, BOOT_ID_LEN);
	close(fd);
	boot_id[n == BOOT_ID_LEN ? BOOT_ID_LEN : 0] = '\0';
}

const char *now_boot_id(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_boot_id);
	return boot_id;
}

void now_fake_start(struct mono mono, struct boot boot, struct wall wall)
{
	fake.mono = mono;
	fake.boot = boot;
	fake.wall_ns = wall.ms * 1000000;
	fake.is_on = true;
}

void now_fake_advance_us(int64_t us)
{
	assert(fake.is_on && us >= 0);
	fake.mono.ns += us * NS_PER_US;
	fake.boot.ns += us * NS_PER_US;
	fake.wall_ns += us * NS_PER_US;
}

void now_fake_step_wall_ms(int64_t ms)
{
	assert(fake.is_on);
	fake.wall_ns += ms * 1000000;
}

void now_fake_stop(void)
{
	fake.is_on = false;
}
