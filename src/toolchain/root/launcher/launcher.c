// The launcher: a program of a few hundred bytes that cleans its environment and becomes another one.
// It stands where a user or a build calls bash or g++, so that what is in the caller's environment
// cannot change what they do (CPATH, LD_PRELOAD, another PATH). 0.1 ms; a shell script costs 1.1 ms.
//
// It is compiled once, by hand, with make.sh; its machine code is committed in launcher_code.h and
// becomes a program when store paths are made. Were it compiled then, or by whoever builds lre, store
// paths would differ between machines. No libc, no data, no relocations: position independent text,
// followed by its configuration, NUL-terminated strings in this order:
//
//   target        the program to become
//   argv0         its argv[0]; empty keeps the caller's
//   path          "PATH=<directory>", put in front of the caller's PATH; empty leaves PATH alone
//   drop...       "NAME=" of variables to remove, ended by an empty string
//   set...        "NAME=value" of variables to set, ended by an empty string
//   argument...   arguments put before the caller's, ended by an empty string
#if defined(__x86_64__)
#define SYS_write 1
#define SYS_execve 59
#define SYS_exit 60
__asm__(
    ".section .text.start,\"ax\"\n.globl _start\n_start:\n"
    "xor %ebp, %ebp\nmov %rsp, %rdi\nlea config(%rip), %rsi\nand $-16, %rsp\ncall run\n");
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
#define SYS_write 64
#define SYS_execve 221
#define SYS_exit 93
__asm__(
    ".section .text.start,\"ax\"\n.globl _start\n_start:\n"
    "mov x29, #0\nmov x30, #0\nmov x0, sp\nadr x1, config\nbl run\n");
static long call(long number, long a, long b, long c) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}
#endif

typedef unsigned long size;

static size length(const char* s) {
  size n = 0;
  while (s[n]) ++n;
  return n;
}

// Whether both name the same variable: equal up to and including '='.
static int same_name(const char* a, const char* b) {
  while (*a == *b && *a && *a != '=') ++a, ++b;
  return *a == '=' && *b == '=';
}

static char* copy(char* to, const char* from) {
  while (*from) *to++ = *from++;
  return to;
}

__attribute__((used)) void run(long* stack, const char* config) {
  long argc = stack[0];
  const char** argv = (const char**)(stack + 1);
  const char** envp = argv + argc + 1;

  const char* target = config;
  const char* argv0 = target + length(target) + 1;
  const char* path = argv0 + length(argv0) + 1;
  const char* drops = path + length(path) + 1;
  const char* sets = drops;
  while (*sets) sets += length(sets) + 1;
  ++sets;

  size count = 2;  // PATH, end
  for (const char** e = envp; *e; ++e) ++count;
  for (const char* s = sets; *s; s += length(s) + 1) ++count;
  const char* out[count];
  size n = 0;
  const char* old_path = 0;
  for (const char** e = envp; *e; ++e) {
    int keep = 1;
    for (const char* d = drops; *d; d += length(d) + 1)
      if (same_name(*e, d)) keep = 0;
    for (const char* s = sets; *s; s += length(s) + 1)
      if (same_name(*e, s)) keep = 0;
    if (*path && same_name(*e, path)) {
      old_path = *e;
      keep = 0;
    }
    if (keep) out[n++] = *e;
  }
  for (const char* s = sets; *s; s += length(s) + 1) out[n++] = s;

  size prefix = length(path);
  char joined[prefix + (old_path ? length(old_path) : 0) + 2];
  if (prefix) {
    const char* rest = old_path;
    if (rest) {
      // Already in front: a shell called by a shell must not make PATH longer each time.
      size same = 0;
      while (same < prefix && rest[same] == path[same]) ++same;
      if (same == prefix && (rest[same] == ':' || rest[same] == 0)) {
        out[n++] = old_path;
        prefix = 0;
      }
    }
    if (prefix) {
      char* end = copy(joined, path);
      if (rest && rest[5]) {
        *end++ = ':';
        end = copy(end, rest + 5);
      }
      *end = 0;
      out[n++] = joined;
    }
  }
  out[n] = 0;

  const char* arguments = sets;
  while (*arguments) arguments += length(arguments) + 1;
  ++arguments;
  count = (size)argc + 2;  // argv[0] even if the caller gave none, end
  for (const char* a = arguments; *a; a += length(a) + 1) ++count;
  const char* args[count];
  n = 0;
  args[n++] = argc == 0 || *argv0 ? argv0 : argv[0];
  for (const char* a = arguments; *a; a += length(a) + 1) args[n++] = a;
  for (long i = 1; i < argc; ++i) args[n++] = argv[i];
  args[n] = 0;
  call(SYS_execve, (long)target, (long)args, (long)out);
  // Reached when the target is not there or cannot run, as in a root that holds half a closure.
  call(SYS_write, 2, (long)target, (long)length(target));
  char newline = '\n';
  call(SYS_write, 2, (long)&newline, 1);
  call(SYS_exit, 127, 0, 0);
  for (;;) {
  }
}
