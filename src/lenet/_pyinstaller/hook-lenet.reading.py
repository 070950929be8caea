"""What an application that reads pictures takes along: Pillow and OpenCV, which are imported where they are used."""

hiddenimports = ["PIL.Image", "PIL.ImageDraw", "PIL.ImageFont", "PIL.ImageOps", "cv2"]
