# gdb's hardware watchpoints and breakpoints in a sandbox, also where the host's processor has none to give.
. "$(dirname "$0")/lib.inc"
cat > t.c <<'C'
int counter = 3;
int leaf(int x) { return x + 1; }
int main(void) { int r = leaf(1); counter = r + 4; r = leaf(r); return r - 3; }
C
gcc -g -O0 -o t t.c
cat > cmds <<'G'
set debuginfod enabled off
break main
run
watch counter
hbreak leaf
continue
continue
continue
continue
G
timeout 120 "$cvisor" do --cwd "$PWD" -- gdb -q -batch -nx -x cmds ./t > out 2>&1 </dev/null
for want in 'Hardware watchpoint 2: counter' 'Hardware assisted breakpoint 3' 'Breakpoint 3, leaf (x=1)' \
    'Old value = 3' 'New value = 6' 'Breakpoint 3, leaf (x=2)' 'exited normally'; do
    grep -qF "$want" out || bad "no '$want' in: $(cat out)"
done
finish
