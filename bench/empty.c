/* An agent that only answers. No agent can cost less than this process. */
#include <unistd.h>

int main(void)
{
	static const char reply[] = "up 100%\n";

	return write(1, reply, sizeof reply - 1) != sizeof reply - 1;
}
