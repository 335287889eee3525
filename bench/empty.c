/* What every agent costs at least: one process that answers and does nothing else. */
#include <unistd.h>

int main(void)
{
	static const char reply[] = "up 100%\n";

	return write(1, reply, sizeof reply - 1) != sizeof reply - 1;
}
