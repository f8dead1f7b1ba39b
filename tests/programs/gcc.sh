# gcc compiles and runs a threaded C program.
set -eu
cat > t.c <<'C'
#include <pthread.h>
#include <stdio.h>
static long sum[4];
static void *work(void *a) { long i = (long)a; for (long k = 0; k < 1000000; k++) sum[i] += k % (i + 2); return 0; }
int main(void) { pthread_t t[4]; for (long i = 0; i < 4; i++) pthread_create(&t[i], 0, work, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  for (int i = 0; i < 4; i++) printf("%ld\n", sum[i]); return 0; }
C
gcc -O2 -Wall -pthread -o t t.c
./t
