package main

import (
	"testing"
	"testing/fstest"
)

// TestMemoryBound: containers, services and machines tell how much there is in different places.
func TestMemoryBound(t *testing.T) {
	t.Parallel()
	const machine = "MemTotal:       24580000 kB\nMemFree:         1000 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing tells":    {nil, 0},
		"a machine":        {map[string]string{"proc/meminfo": machine}, 24580000 << 10},
		"a container (v2)": {map[string]string{"proc/meminfo": machine, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"a service in a slice that has less": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "0::/system.slice/skein.service\n",
			"sys/fs/cgroup/system.slice/memory.max": "1073741824\n", "sys/fs/cgroup/system.slice/skein.service/memory.max": "max\n",
		}, 1 << 30},
		"a container (v1)": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
		}, 256 << 20},
		"no limit (v1)": {map[string]string{
			"proc/meminfo": machine, "proc/self/cgroup": "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 24580000 << 10},
	} {
		root := fstest.MapFS{}
		for f, text := range c.files {
			root[f] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryBound(root); got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}
