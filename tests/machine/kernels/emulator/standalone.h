// A program around one emulated kernel, for sanitizers: its buffers are allocations of their own, of the exact size.
//
// Arguments: a file of grid[3], group[3], order, count (uint32 each), then count times size (uint64) and bytes; and a
// file to write the buffers to. Exit code 3: the emulator's own message is on stderr.
#pragma once

int main(int, char** argv) {
  FILE* in = fopen(argv[1], "rb");
  uint32_t head[8];
  if (!in || fread(head, 4, 8, in) != 8) return 2;
  uint32_t count = head[7];
  void** buffers = static_cast<void**>(malloc(count * sizeof(void*)));
  uint64_t* sizes = static_cast<uint64_t*>(malloc(count * sizeof(uint64_t)));
  for (uint32_t i = 0; i < count; i++) {
    if (fread(&sizes[i], 8, 1, in) != 1) return 2;
    buffers[i] = malloc(sizes[i]);
    if (fread(buffers[i], 1, sizes[i], in) != sizes[i]) return 2;
  }
  fclose(in);
  char error[256] = "";
  if (emu_run(buffers, head, head + 3, int(head[6]), error, sizeof(error))) {
    fprintf(stderr, "%s\n", error);
    return 3;
  }
  FILE* out = fopen(argv[2], "wb");
  for (uint32_t i = 0; i < count; i++) fwrite(buffers[i], 1, sizes[i], out);
  fclose(out);
  return 0;
}
