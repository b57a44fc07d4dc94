/* Does nothing: that it links is the test (see meson.build, "layers"). */
int main(void)
{
    return 0;
}
