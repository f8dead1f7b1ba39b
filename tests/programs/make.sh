set -eu
for i in $(seq 1 12); do echo "int f$i(int x) { return x * $i + 1; }" > f$i.c; done
{ for i in $(seq 1 12); do echo "int f$i(int);"; done; echo '#include <stdio.h>'; echo 'int main(void) { int s = 0;'; for i in $(seq 1 12); do echo "s += f$i($i);"; done; echo 'printf("%d\n", s); return 0; }'; } > main.c
cat > Makefile <<'M'
OBJS := $(patsubst %.c,%.o,$(wildcard *.c))
prog: $(OBJS)
	gcc -o $@ $^
%.o: %.c
	@gcc -O1 -c -o $@ $<
M
make -s -j2 && ./prog && touch f3.c && make -s -j2 && ./prog && make -q prog && echo up to date
