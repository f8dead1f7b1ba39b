# gdb: breakpoints, stepping over system calls, threads, backtraces, a changed variable.
# timeout: 240
set -eu
cat > t.c <<'C'
#include <pthread.h>
#include <unistd.h>
volatile int counter;
static pthread_barrier_t b;
static void *worker(void *arg) { pthread_barrier_wait(&b); getppid(); pthread_barrier_wait(&b); return arg; }
int leaf(int x) { counter += x; return x * 2; }
int middle(int x) { return leaf(x + 1) + 1; }
int main(void)
{
    pthread_t t[3];
    pthread_barrier_init(&b, NULL, 4);
    for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, worker, NULL);
    pthread_barrier_wait(&b);
    for (int i = 0; i < 20; i++) getppid();
    int r = middle(20);
    write(1, "hello\n", 6);
    pthread_barrier_wait(&b);
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    return r == 43 && counter == 28 ? 0 : 1;
}
C
gcc -g -O0 -pthread -o t t.c
cat > cmds <<'G'
set pagination off
set debuginfod enabled off
break leaf
run
bt
info threads
print x
set var x = 7
finish
stepi 100
break write
continue
x/3i $pc
stepi 20
continue
G
gdb -q -batch -nx -x cmds ./t > out 2>&1
# Without numbers of threads and addresses; threads come and go in any order.
sed -E 's/0x[0-9a-f]+/P/g; s/LWP [0-9]+/LWP N/g; s/process [0-9]+/process N/' out |
    grep -E '^(Breakpoint|Thread 1 "t" hit|#[0-9]|\$|Value|hello|\[Inferior)' | sed 's/ at .*//'
grep -c 'New Thread' out
grep -cE '^[* ] +[1-4] +Thread' out
# Lines one by one, into a function and out of it; what every thread is in.
cat > more <<'G'
set pagination off
set debuginfod enabled off
break middle
run
step
print counter
next
print counter
thread apply all bt
next
next
delete
tbreak pthread_join
continue
up
print r
print i
info symbol worker
continue
G
gdb -q -batch -nx -x more ./t > out 2>&1
grep -E '^([0-9]+	|\$|hello|worker|\[Inferior)' out | sed -E 's/process [0-9]+/process N/'
grep -c 'in worker (arg=\|^#0 .*worker (arg=' out
grep -c 'in main () at' out
